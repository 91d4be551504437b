//! Where a server is and whom to speak as: found where AWS's own tools find it, else in the data folder.
//!
//! It does not know what is signed.
use std::{collections::HashMap, env, fs, io, path::PathBuf};

use clap::Args;
use zeroize::Zeroizing;

use crate::{
    deployment::{credentials::PROFILE, data_dir::default_path},
    settings::address::Address,
};
use service::Mode;

/// Where `snapferry serve` listens unless it is told otherwise.
const ENDPOINT: &str = "http://127.0.0.1:8085";
const REGION: &str = "us-east-1";

/// The server that a verb speaks to.
#[derive(Debug, Args)]
pub(crate) struct Remote {
    /// The server's URL [default: AWS_ENDPOINT_URL_RDS, AWS_ENDPOINT_URL, the profile's endpoint_url, http://127.0.0.1:8085]
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Profile in AWS's credentials and configuration files [default: AWS_PROFILE; AWS_ACCESS_KEY_ID goes before it]
    ///
    /// Without a profile named, what `snapferry login` kept goes before AWS's default profile. Without any credentials, those of the administrator in the default data folder are taken.
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Region [default: AWS_REGION, AWS_DEFAULT_REGION, the profile's, us-east-1]
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,
}

/// What a verb speaks to a server with.
pub(crate) struct Profile {
    pub(super) endpoint: String,
    pub(super) address: Address,
    pub(super) region: String,
    pub(super) access_key_id: String,
    pub(super) secret: Zeroizing<String>,
    pub(super) security_token: Option<Zeroizing<String>>,
}

/// Why there is no one to speak as.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProfileError {
    /// There is no folder for a login.
    #[error("there is no home folder to keep a login in")]
    NoHome,
    /// No variables, no profile, no data folder.
    #[error("no credentials were found")]
    NoCredentials,
    /// A profile was named that has no key.
    #[error("the profile {name:?} has no access key in {}", path.display())]
    NoProfile { name: String, path: PathBuf },
    /// A file that is there cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The endpoint is no http or https URL.
    #[error("the endpoint {0:?} is no http or https URL")]
    Endpoint(String),
}

impl ProfileError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::NoHome => "set HOME or XDG_CONFIG_HOME".to_owned(),
            Self::NoCredentials => "log in with `snapferry login`, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with --profile; with a server of --dev any twelve digits are a key".to_owned(),
            Self::NoProfile { .. } => "name a profile that is there with --profile or AWS_PROFILE".to_owned(),
            Self::Unreadable { .. } => "let your user read it, or name another with AWS_SHARED_CREDENTIALS_FILE".to_owned(),
            Self::Endpoint(_) => format!("such as {ENDPOINT}"),
        }
    }
}

/// What the system has to say, which a test says in its place.
pub(super) struct Surroundings<'a> {
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    /// The administrator's credentials, where a data folder has them.
    pub(super) own_credentials: Option<PathBuf>,
}

impl Profile {
    /// Looks in the arguments, the environment, AWS's files, what `snapferry login` kept, and the default data
    /// folder.
    pub(super) fn find(remote: &Remote) -> Result<Self, ProfileError> {
        let own = default_path(Mode::Closed).ok();
        Self::find_in(
            remote,
            &Surroundings {
                variable: &told,
                own_credentials: own.map(|folder| folder.join("credentials")),
            },
        )
    }

    /// Endpoint and region that a new login is for.
    pub(super) fn place(remote: &Remote) -> Result<(String, String), ProfileError> {
        let mut files = Files::read(remote, &told)?;
        place(remote, &told, &mut files.sections)
    }

    /// From its parts.
    pub(super) fn new(
        endpoint: String,
        region: String,
        access_key_id: String,
        secret: Zeroizing<String>,
    ) -> Result<Self, ProfileError> {
        let Some(address) = Address::parse(&endpoint) else {
            return Err(ProfileError::Endpoint(endpoint));
        };
        Ok(Self {
            endpoint,
            address,
            region,
            access_key_id,
            secret,
            security_token: None,
        })
    }

    fn find_in(remote: &Remote, around: &Surroundings<'_>) -> Result<Self, ProfileError> {
        let variable = around.variable;
        let mut files = Files::read(remote, variable)?;
        let from_variables = remote.profile.is_none();
        let key = match (
            variable("AWS_ACCESS_KEY_ID").filter(|_| from_variables),
            variable("AWS_SECRET_ACCESS_KEY").map(Zeroizing::new),
        ) {
            (Some(id), Some(secret)) => Some((
                id,
                secret,
                variable("AWS_SESSION_TOKEN").map(Zeroizing::new),
            )),
            _ => files.sections.iter_mut().find_map(Section::key),
        };
        let (access_key_id, secret, security_token) = match (key, files.named) {
            (Some(key), _) => key,
            (None, Some(name)) => {
                let path = files.credentials.unwrap_or_default();
                return Err(ProfileError::NoProfile { name, path });
            }
            (None, None) => {
                let mut own = Section::default();
                if let Some(path) = &around.own_credentials {
                    own.add(path, &[PROFILE])?;
                }
                let key = own.key().ok_or(ProfileError::NoCredentials)?;
                files.sections.push(own);
                key
            }
        };
        let (endpoint, region) = place(remote, variable, &mut files.sections)?;
        let profile = Self::new(endpoint, region, access_key_id, secret)?;
        Ok(Self {
            security_token,
            ..profile
        })
    }
}

/// A variable of this process, unless it is empty.
fn told(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where `snapferry login` keeps keys: below XDG_CONFIG_HOME, or in the home folder.
pub(super) fn login_file(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let own = variable("XDG_CONFIG_HOME").map(PathBuf::from);
    let own = own.filter(|path| path.is_absolute());
    let above = own.or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".config")));
    above.map(|above| above.join("snapferry/credentials"))
}

/// Endpoint and region: of the arguments, else the variables, else the first section that says one.
fn place(
    remote: &Remote,
    variable: &dyn Fn(&str) -> Option<String>,
    sections: &mut [Section],
) -> Result<(String, String), ProfileError> {
    let mut said = |key: &str| sections.iter_mut().find_map(|section| section.take(key));
    let endpoint = remote.endpoint.clone();
    let endpoint = endpoint
        .or_else(|| variable("AWS_ENDPOINT_URL_RDS"))
        .or_else(|| variable("AWS_ENDPOINT_URL"))
        .or_else(|| said("endpoint_url"))
        .unwrap_or_else(|| ENDPOINT.to_owned());
    let region = remote.region.clone();
    let region = region
        .or_else(|| variable("AWS_REGION"))
        .or_else(|| variable("AWS_DEFAULT_REGION"))
        .or_else(|| said("region"))
        .unwrap_or_else(|| REGION.to_owned());
    match Address::parse(&endpoint) {
        Some(_) => Ok((endpoint, region)),
        None => Err(ProfileError::Endpoint(endpoint)),
    }
}

/// What the files say of the profile that is asked for.
struct Files {
    /// The profile, when one is named.
    named: Option<String>,
    /// AWS's file of access keys.
    credentials: Option<PathBuf>,
    /// What goes first comes first: a login is meant for this program, and a named profile for all.
    sections: Vec<Section>,
}

impl Files {
    fn read(
        remote: &Remote,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ProfileError> {
        let named = remote.profile.clone().or_else(|| variable("AWS_PROFILE"));
        let name = named.as_deref().unwrap_or("default");
        let home = variable("HOME").map(PathBuf::from);
        let file = |of: &str, inside: &str| {
            let given = variable(of).map(PathBuf::from);
            given.or_else(|| home.as_ref().map(|home| home.join(inside)))
        };
        let credentials = file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");
        let mut aws = Section::default();
        if let Some(path) = &credentials {
            aws.add(path, &[name])?;
        }
        if let Some(path) = file("AWS_CONFIG_FILE", ".aws/config") {
            let inside = match name {
                "default" => name.to_owned(),
                _ => format!("profile {name}"),
            };
            aws.add(&path, &[&inside])?;
        }
        let mut login = Section::default();
        if let Some(path) = login_file(variable) {
            login.add(&path, &[name])?;
        }
        let sections = match named {
            Some(_) => vec![aws, login],
            None => vec![login, aws],
        };
        Ok(Self {
            named,
            credentials,
            sections,
        })
    }
}

type Key = (String, Zeroizing<String>, Option<Zeroizing<String>>);

/// What sections of AWS's files say together; what was said first stands.
#[derive(Default)]
struct Section(HashMap<String, Zeroizing<String>>);

impl Section {
    /// Takes in the sections of those names; a file that is not there says nothing.
    fn add(&mut self, path: &PathBuf, names: &[&str]) -> Result<(), ProfileError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => {
                let path = path.clone();
                return Err(ProfileError::Unreadable { path, source });
            }
        };
        self.add_text(&text, names);
        Ok(())
    }

    fn add_text(&mut self, text: &str, names: &[&str]) {
        let mut inside = false;
        for line in text.lines() {
            // An indented line belongs to a nested setting, none of which is of use here.
            if line.starts_with([' ', '\t', '#', ';']) {
                continue;
            }
            let line = line.trim_end();
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                inside = names.contains(&name.trim());
            } else if let Some((key, value)) = line.split_once('=')
                && inside
            {
                let value = Zeroizing::new(value.trim().to_owned());
                self.0.entry(key.trim().to_lowercase()).or_insert(value);
            }
        }
    }

    fn take(&mut self, key: &str) -> Option<String> {
        self.0.remove(key).map(|value| value.to_string())
    }

    fn key(&mut self) -> Option<Key> {
        let secret = self.0.remove("aws_secret_access_key")?;
        let id = self.take("aws_access_key_id")?;
        Some((id, secret, self.0.remove("aws_session_token")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(profile: Option<&str>) -> Remote {
        Remote {
            endpoint: None,
            profile: profile.map(str::to_owned),
            region: None,
        }
    }

    fn found(
        remote: &Remote,
        variables: &[(&str, &str)],
        own: Option<PathBuf>,
    ) -> Result<(String, String, String), ProfileError> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let around = Surroundings {
            variable: &variable,
            own_credentials: own,
        };
        let profile = Profile::find_in(remote, &around)?;
        Ok((profile.access_key_id, profile.endpoint, profile.region))
    }

    #[test]
    fn it_is_found_where_aws_tools_find_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        let credentials = write(
            "credentials",
            "# mine\n[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = s=1\n\n[other]\naws_access_key_id=AKIAOTHER\naws_secret_access_key=t\n[half]\naws_access_key_id=AKIAHALF\n",
        );
        let config = write(
            "config",
            "[default]\nregion = eu-west-1\n[profile other]\nregion = ap-south-1\nendpoint_url = http://db.example:1\ns3 =\n  region = wrong\n",
        );
        let files = [
            ("AWS_SHARED_CREDENTIALS_FILE", credentials.as_str()),
            ("AWS_CONFIG_FILE", config.as_str()),
        ];
        let is = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        let plain = found(&remote(None), &files, None).expect("the default");
        assert_eq!(plain, is("AKIADEFAULT", ENDPOINT, "eu-west-1"));
        let other = found(&remote(Some("other")), &files, None).expect("it is there");
        assert_eq!(other, is("AKIAOTHER", "http://db.example:1", "ap-south-1"));
        let mut variables = files.to_vec();
        variables.extend([
            ("AWS_ACCESS_KEY_ID", "123456789012"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("AWS_REGION", "us-west-2"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
            ("AWS_PROFILE", "other"),
        ]);
        let told = found(&remote(None), &variables, None).expect("by variables");
        assert_eq!(told, is("123456789012", "http://127.0.0.1:9", "us-west-2"));
        let asked = found(&remote(Some("other")), &variables, None).expect("asked for");
        assert_eq!(asked.0, "AKIAOTHER");
        for name in ["half", "none"] {
            let refused = found(&remote(Some(name)), &files, None);
            assert!(matches!(refused, Err(ProfileError::NoProfile { .. })));
        }
    }

    #[test]
    fn a_login_goes_before_the_default_profile_and_behind_a_named_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        let key = |id: &str, more: &str| {
            format!("aws_access_key_id = {id}\naws_secret_access_key = s\n{more}\n")
        };
        let credentials = write(
            "credentials",
            &format!(
                "[default]\n{}[both]\n{}",
                key("AWS", "region = eu-west-1\naws_session_token = t"),
                key("AWSBOTH", "")
            ),
        );
        write(
            "config/snapferry/credentials",
            &format!(
                "[default]\n{}[both]\n{}[mine]\n{}",
                key("LOGIN", "endpoint_url = http://own:1"),
                key("OTHER", ""),
                key("MINE", "")
            ),
        );
        let above = folder.path().join("config").display().to_string();
        let files = [
            ("AWS_SHARED_CREDENTIALS_FILE", credentials.as_str()),
            ("XDG_CONFIG_HOME", above.as_str()),
        ];
        let plain = found(&remote(None), &files, None).expect("the login");
        assert_eq!(
            plain,
            (
                "LOGIN".to_owned(),
                "http://own:1".to_owned(),
                "eu-west-1".to_owned()
            )
        );
        assert_eq!(
            found(&remote(Some("both")), &files, None).expect("AWS's").0,
            "AWSBOTH"
        );
        assert_eq!(
            found(&remote(Some("mine")), &files, None)
                .expect("the login's")
                .0,
            "MINE"
        );
        let variable = |name: &str| {
            files
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let around = Surroundings {
            variable: &variable,
            own_credentials: None,
        };
        let profile = Profile::find_in(&remote(None), &around).expect("the login");
        assert!(profile.security_token.is_none(), "that is another key's");
    }

    #[test]
    fn the_data_folders_administrator_comes_last() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join("credentials");
        let none = found(&remote(None), &[], Some(own.clone()));
        assert!(matches!(none, Err(ProfileError::NoCredentials)));
        fs::write(&own, "[snapferry]\naws_access_key_id = AKIAOWN\naws_secret_access_key = s\nregion = eu-central-1\n")
            .expect("written");
        let (id, _, region) = found(&remote(None), &[], Some(own)).expect("its own");
        assert_eq!((id.as_str(), region.as_str()), ("AKIAOWN", "eu-central-1"));
    }

    #[test]
    fn an_endpoint_that_is_none_is_told() {
        let key = [("AWS_ACCESS_KEY_ID", "1"), ("AWS_SECRET_ACCESS_KEY", "2")];
        let mut wrong = remote(None);
        wrong.endpoint = Some("db.example:1".to_owned());
        let refused = found(&wrong, &key, None);
        assert!(matches!(refused, Err(ProfileError::Endpoint(_))));
    }
}

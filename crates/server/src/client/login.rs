//! The access keys that `snapferry login` keeps: a file as AWS's own credentials file is, of its own.
//!
//! It does not know whether a server takes them.
use std::{
    env, fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::profile::{Profile, ProfileError, Remote, login_file};
use crate::deployment::data_dir::{DataDirError, write_private};

/// An access key that is to be kept.
pub(crate) struct Login {
    name: String,
    endpoint: String,
    region: String,
    id: String,
    secret: Zeroizing<String>,
}

impl Login {
    /// For the server that arguments, environment and AWS's files lead to.
    ///
    /// # Errors
    /// [`ProfileError`], but that no key is known.
    pub(crate) fn of(
        remote: &Remote,
        id: String,
        secret: Zeroizing<String>,
    ) -> Result<Self, ProfileError> {
        let (endpoint, region) = Profile::place(remote)?;
        let name = remote
            .profile
            .clone()
            .unwrap_or_else(|| "default".to_owned());
        Ok(Self {
            name,
            endpoint,
            region,
            id,
            secret,
        })
    }

    /// The server's URL.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What to speak to the server with.
    pub(super) fn profile(&self) -> Result<Profile, ProfileError> {
        Profile::new(
            self.endpoint.clone(),
            self.region.clone(),
            self.id.clone(),
            self.secret.clone(),
        )
    }

    /// Writes it into the file, in place of what the file has under its name. Answers where.
    ///
    /// # Errors
    /// When the file cannot be written; [`ProfileError::NoHome`].
    pub(crate) fn keep(&self) -> Result<PathBuf, ProfileError> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let path = login_file(&variable).ok_or(ProfileError::NoHome)?;
        self.keep_in(&path)?;
        Ok(path)
    }

    fn keep_in(&self, path: &Path) -> Result<(), ProfileError> {
        let unreadable = |source| ProfileError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let before = match fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Zeroizing::default(),
            Err(source) => return Err(unreadable(source)),
        };
        if let Some(folder) = path.parent() {
            let made = fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder);
            made.map_err(unreadable)?;
        }
        let text = Zeroizing::new(format!(
            "{}{}",
            *without(&before, &self.name),
            *self.section()
        ));
        write_private(path, text.as_bytes()).map_err(|error| match error {
            DataDirError::Io { source, .. } => unreadable(source),
            other => unreadable(io::Error::other(other.to_string())),
        })
    }

    fn section(&self) -> Zeroizing<String> {
        Zeroizing::new(format!(
            "[{}]\naws_access_key_id = {}\naws_secret_access_key = {}\nregion = {}\nendpoint_url = {}\n",
            self.name, self.id, *self.secret, self.region, self.endpoint
        ))
    }
}

/// A file without one of its sections.
fn without(text: &str, name: &str) -> Zeroizing<String> {
    let (mut left, mut inside) = (Zeroizing::new(String::with_capacity(text.len() + 1)), false);
    for line in text.lines() {
        if let Some(found) = line
            .trim()
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            inside = found.trim() == name;
        }
        if !inside {
            left.push_str(line);
            left.push('\n');
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_takes_the_place_of_the_one_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/credentials");
        let login = |name: &str, id: &str| Login {
            name: name.to_owned(),
            endpoint: "http://h".to_owned(),
            region: "us-east-1".to_owned(),
            id: id.to_owned(),
            secret: Zeroizing::new("s".to_owned()),
        };
        for (name, id) in [("default", "one"), ("other", "two"), ("default", "three")] {
            login(name, id).keep_in(&path).expect("kept");
        }
        let text = fs::read_to_string(&path).expect("there");
        assert_eq!(text.matches("[default]").count(), 1, "{text}");
        assert!(
            text.contains("two") && text.contains("three") && !text.contains("one\n"),
            "{text}"
        );
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).expect("there"));
        assert_eq!(mode & 0o777, 0o600);
    }
}

//! Temporary credentials: sessions of roles, and of accounts themselves.
//!
//! A session is kept nowhere. Its token is its record, sealed by the master key for the one
//! access key id that it goes with, so that every node of a deployment knows it, also after a
//! restart; a change of the master key ends it. What could end it before its time (the access
//! key it came from, the role) is looked at with every request, by [`crate::auth::authenticate`].
use aws_lc_rs::digest;
use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD};
use kms::MasterKey;
use model::{Account, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::fault::{Code, Fault};

/// The purpose that tokens are sealed for.
const PURPOSE: &str = "session-token";
/// What the access key ids of sessions begin with.
const ID_PREFIX: &str = "ASIA";
/// Longer texts are no tokens of ours.
const TOKEN_CHARS_MAX: usize = 4_096;

/// A role that accounts may assume, as the deployment's settings name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its ARN, with the account that a session acts for.
    pub arn: RoleArn,
    /// The accounts that may assume it.
    pub trusts: Vec<Account>,
    /// What they have to name too, if anything.
    pub external_id: Option<String>,
    /// How long a session may last, seconds.
    pub session_secs_max: u64,
}

/// `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`; all of it counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleArn {
    /// Such as `aws`.
    pub partition: String,
    /// The account that the role is of.
    pub account: Account,
    /// What follows `role/`: the name, behind its path.
    pub path: String,
}

impl RoleArn {
    /// Reads a role's ARN.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next();
        let (arn, partition, service, region) = (next()?, next()?, next()?, next()?);
        let (account, resource) = (next()?.parse().ok()?, next()?);
        let path = resource.strip_prefix("role/")?;
        let legal = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-/".contains(c);
        let named = !path.is_empty() && !path.ends_with('/') && path.chars().all(legal);
        let iam = arn == "arn" && service == "iam" && region.is_empty();
        (iam && named && !partition.is_empty()).then(|| Self {
            partition: partition.to_owned(),
            account,
            path: path.to_owned(),
        })
    }

    /// The name, without the path: what sessions are called after.
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// A session of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSession {
    /// The role.
    pub role: RoleArn,
    /// The session's name.
    pub name: String,
}

impl RoleSession {
    /// `arn:…:sts::ACCOUNT:assumed-role/NAME/SESSION`.
    pub fn arn(&self) -> String {
        let (role, name) = (&self.role, &self.name);
        format!(
            "arn:{}:sts::{}:assumed-role/{}/{name}",
            role.partition,
            role.account,
            role.name()
        )
    }

    /// `AROA…:SESSION`: the same for all sessions of a role, but for their names.
    pub fn user_id(&self) -> String {
        let RoleArn {
            partition,
            account,
            path,
        } = &self.role;
        let of = format!("{partition} {account} {path}");
        let hash = digest::digest(&digest::SHA256, of.as_bytes());
        let id = BASE32_NOPAD.encode(&hash.as_ref()[..10]);
        format!("AROA{id}:{}", self.name)
    }
}

/// What a token holds.
#[derive(Clone, Serialize, Deserialize)]
pub struct Session {
    /// The account that it acts for.
    pub account: Account,
    /// The role, when it is one's.
    pub role: Option<RoleSession>,
    /// The long-lived access key that it came from, through whatever sessions; none where
    /// signatures are not checked.
    pub issuer: Option<String>,
    /// The account that asked for it.
    pub begun_by: Account,
    /// When it ends, seconds since the epoch.
    pub expires_at: i64,
    #[serde(with = "wiped")]
    secret: Zeroizing<String>,
}

/// A secret's text in a document that is itself wiped, and sealed.
mod wiped {
    use serde::{Deserialize, Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub(crate) fn serialize<S: Serializer>(
        secret: &Zeroizing<String>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Zeroizing<String>, D::Error> {
        String::deserialize(from).map(Zeroizing::new)
    }
}

impl std::fmt::Debug for Session {
    /// Shows no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("account", &self.account)
            .field("role", &self.role)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Temporary credentials, as their user gets them, once.
pub struct Issued {
    /// `ASIA` and 16 more characters.
    pub access_key_id: String,
    /// 40 characters.
    pub secret: Zeroizing<String>,
    /// The sealed session.
    pub token: String,
    /// When they end.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for Issued {
    /// Shows no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Draws credentials for an account, or for a role that it may assume. The issuer is the
    /// long-lived access key that it all comes from.
    ///
    /// # Errors
    /// `InternalFailure` when the system's generator has nothing to give.
    pub fn begin(
        master_key: &MasterKey,
        (account, issuer): (&Account, Option<String>),
        role: Option<(&Role, &str)>,
        now: Timestamp,
        seconds: u64,
    ) -> Result<Issued, Fault> {
        let (mut id, mut secret) = ([0; 10], Zeroizing::new([0; 30]));
        kms::fill_random(&mut id)
            .and_then(|()| kms::fill_random(secret.as_mut()))
            .map_err(|error| Fault::internal(&error))?;
        let access_key_id = format!("{ID_PREFIX}{}", BASE32_NOPAD.encode(&id));
        let secret = Zeroizing::new(BASE64.encode(secret.as_ref()));
        // Whole seconds, as AWS has them: the client is told the same moment.
        let expires_at = now
            .seconds()
            .saturating_add(i64::try_from(seconds).unwrap_or(0));
        let session = Self {
            account: role.map_or(account, |(role, _)| &role.arn.account).clone(),
            role: role.map(|(role, name)| RoleSession {
                role: role.arn.clone(),
                name: name.to_owned(),
            }),
            issuer,
            begun_by: account.clone(),
            expires_at,
            secret: secret.clone(),
        };
        let plain = Zeroizing::new(serde_json::to_vec(&session).expect("a session serializes"));
        let sealed = master_key.seal(PURPOSE, &access_key_id, &plain);
        Ok(Issued {
            access_key_id,
            secret,
            token: BASE64URL_NOPAD.encode(&sealed),
            expires_at: Timestamp(expires_at.saturating_mul(1_000_000)),
        })
    }

    /// Opens a token that goes with this access key id; none when it is not one of ours.
    pub fn open(master_key: &MasterKey, access_key_id: &str, token: &str) -> Option<Self> {
        if !access_key_id.starts_with(ID_PREFIX) || TOKEN_CHARS_MAX < token.len() {
            return None;
        }
        let sealed = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
        let plain = master_key.open(PURPOSE, access_key_id, &sealed).ok()?;
        serde_json::from_slice(&plain).ok()
    }

    /// What its requests are signed with.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Refuses a session that is over.
    ///
    /// # Errors
    /// `ExpiredToken`.
    pub fn lasting(&self, now: Timestamp) -> Result<(), Fault> {
        if now.seconds() < self.expires_at {
            return Ok(());
        }
        Err(Fault::new(
            Code::ExpiredToken,
            "The security token included in the request is expired",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        "111122223333".parse().expect("an account")
    }

    #[test]
    fn every_part_of_a_roles_arn_is_looked_at() {
        let right = RoleArn::parse("arn:aws:iam::111122223333:role/team/backup").expect("a role");
        assert_eq!(right.account.as_str(), "111122223333");
        assert_eq!(
            (right.path.as_str(), right.name()),
            ("team/backup", "backup")
        );
        let foreign = RoleArn::parse("arn:aws-cn:iam::111122223333:role/team/backup");
        assert_ne!(foreign, Some(right));
        for wrong in [
            "",
            "backup",
            "arn:aws:sts::111122223333:role/backup",
            "arn:aws:iam:us-east-1:111122223333:role/backup",
            "arn:aws:iam::1111:role/backup",
            "arn:aws:iam::111122223333:user/backup",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/x/",
            "arn:aws:iam::111122223333:role/x y",
        ] {
            assert_eq!(RoleArn::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_opens_for_its_own_key_id_until_its_end() {
        let (key, now) = (MasterKey::from_bytes([7; 32]), Timestamp(1_000_000_000));
        let role = Role {
            arn: RoleArn::parse("arn:aws:iam::444455556666:role/backup/nightly").expect("a role"),
            trusts: vec![account()],
            external_id: None,
            session_secs_max: 3_600,
        };
        let issued = Session::begin(
            &key,
            (&account(), Some("AKIAEXAMPLE".to_owned())),
            Some((&role, "tool")),
            now,
            900,
        );
        let issued = issued.expect("random bytes");
        assert!(!issued.token.contains(issued.secret.as_str()));
        let open = |id: &str, token: &str| Session::open(&key, id, token);
        let session = open(&issued.access_key_id, &issued.token).expect("its own");
        assert_eq!(session.secret(), issued.secret.as_str());
        assert_eq!(session.account, role.arn.account);
        assert_eq!(session.issuer.as_deref(), Some("AKIAEXAMPLE"));
        let named = session.role.clone().expect("a role's");
        assert_eq!(
            named.arn(),
            "arn:aws:sts::444455556666:assumed-role/nightly/tool"
        );
        assert!(named.user_id().starts_with("AROA"));
        assert!(session.lasting(Timestamp(1_899_000_000)).is_ok());
        let over = session.lasting(Timestamp(1_900_000_000));
        assert_eq!(over.expect_err("over").code, Code::ExpiredToken);

        let other = Session::begin(&key, (&account(), None), None, now, 900).expect("random bytes");
        assert!(open(&other.access_key_id, &issued.token).is_none());
        assert!(open(&issued.access_key_id, &issued.token[1..]).is_none());
        assert!(open("AKIAEXAMPLE", &issued.token).is_none());
        let foreign = MasterKey::from_bytes([8; 32]);
        assert!(Session::open(&foreign, &issued.access_key_id, &issued.token).is_none());
    }
}

//! Who keeps the password of a cluster's master user: its owner, or RDS in a secret.
//!
//! Source: API_CreateDBCluster, API_ModifyDBCluster, and "Password management with Aurora and AWS
//! Secrets Manager". A restore has no such parameter: ModifyDBCluster gives its cluster a secret.
use engine::Engine;
use model::{Cluster, MasterSecret, SecretStatus, Stage, Timestamp};

use super::request::ClusterMembers;
use crate::{action::ActionContext, shapes::engine_names::master_password};
use service::{
    fault::{Code, Fault},
    jobs::change_cluster::SecretChange,
    keys::{AwsService, RdsUse},
    secrets::{
        rotation::{self, Rotation},
        value,
    },
};

/// What a request says of the master user's password.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    password: Option<String>,
    managed: Option<bool>,
    key: Option<String>,
}

impl Asked {
    /// Reads it out of a request.
    ///
    /// # Errors
    /// `InvalidParameterCombination` when two of it exclude each other.
    pub(crate) fn of(members: &ClusterMembers, password: Option<String>) -> Result<Self, Fault> {
        let asked = Self {
            password,
            managed: members.manage_master_user_password,
            key: members.master_user_secret_kms_key_id.clone(),
        };
        if asked.managed == Some(true) && asked.password.is_some() {
            return Err(Fault::combination(
                "You can't specify MasterUserPassword when ManageMasterUserPassword is turned on.",
            ));
        }
        if asked.managed != Some(true) && asked.key.is_some() {
            return Err(Fault::combination(
                "You can specify MasterUserSecretKmsKeyId only when you turn on ManageMasterUserPassword.",
            ));
        }
        Ok(asked)
    }

    /// Gives a new cluster its master user's password: what its server keeps of it.
    ///
    /// # Errors
    /// A password that is none, or a key that cannot be used.
    pub(crate) async fn give(
        &self,
        cx: &ActionContext,
        engine: &dyn Engine,
        cluster: &mut Cluster,
    ) -> Result<String, Fault> {
        if self.managed != Some(true) {
            let password = master_password(engine.profile(), self.password.as_deref())?;
            return Ok(engine.verifier(password));
        }
        let (secret, verifier) = self.new_secret(cx, engine, cluster, Stage::Current).await?;
        cluster.master_secret = Some(secret);
        Ok(verifier)
    }

    /// Checks the password of a request that will make a cluster, before anything else is done.
    ///
    /// # Errors
    /// As [`Asked::give`].
    pub(crate) fn check_new(&self, engine: &dyn Engine) -> Result<(), Fault> {
        match self.managed {
            Some(true) => Ok(()),
            _ => master_password(engine.profile(), self.password.as_deref()).map(drop),
        }
    }

    async fn new_secret(
        &self,
        cx: &ActionContext,
        engine: &dyn Engine,
        cluster: &Cluster,
        stage: Stage,
    ) -> Result<(Box<MasterSecret>, String), Fault> {
        let (keys, account) = (&*cx.service.keys, &cluster.account);
        let user = RdsUse::via(AwsService::SecretsManager, keys, account, &cluster.region);
        let key = match &self.key {
            Some(given) => user.target(given).await?,
            None => user.default_key().await?,
        };
        let given = self.key.as_deref();
        let named = given.and_then(|key| AwsService::of_default_key(key, account, &cluster.region));
        let is_default = given.is_none() || named.is_some();
        let mut secret = Box::new(value::new_secret(&cx.service, &key, is_default));
        let drawn = value::draw(&cx.service, cluster, &secret, stage, None).await?;
        secret.versions.push(drawn.version);
        Ok((secret, engine.verifier(&drawn.password)))
    }
}

/// What becomes of a cluster's master user's password.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Nothing.
    Stays,
    /// The owner gives another one.
    Given(String),
    /// RDS keeps it from now on.
    Managed(Box<MasterSecret>, String),
    /// RDS draws the next one.
    Rotated(Rotation),
    /// The owner keeps it again.
    Unmanaged(String),
}

impl Change {
    /// What a request wants of a cluster, as it was found.
    ///
    /// # Errors
    /// What cannot be: `InvalidParameterCombination`, a password that is none, a key that cannot be
    /// used.
    pub(crate) async fn of(
        cx: &ActionContext,
        engine: &dyn Engine,
        cluster: &Cluster,
        asked: &Asked,
        rotate: Option<bool>,
        now: bool,
    ) -> Result<Self, Fault> {
        let is_managed = cluster.master_secret.is_some();
        let verifier = || {
            let password = master_password(engine.profile(), asked.password.as_deref());
            password.map(|password| engine.verifier(password))
        };
        if rotate == Some(true) {
            check_rotation(asked, is_managed, now)?;
            return Ok(Self::Rotated(
                rotation::next(&cx.service, cluster, None).await?,
            ));
        }
        match (is_managed, asked.managed) {
            (true, Some(true)) if asked.key.is_some() => Err(Fault::combination(
                "You can't change the KMS key of the secret: the cluster's master user password is already managed in AWS Secrets Manager.",
            )),
            (true, Some(true)) => Ok(Self::Stays),
            (true, Some(false)) if asked.password.is_none() => Err(Fault::combination(
                "You must specify MasterUserPassword when you turn off ManageMasterUserPassword.",
            )),
            (true, Some(false)) => Ok(Self::Unmanaged(verifier()?)),
            (true, None) if asked.password.is_some() => Err(Fault::combination(
                "You can't specify MasterUserPassword for a cluster whose master user password is managed in AWS Secrets Manager: turn off ManageMasterUserPassword.",
            )),
            (false, Some(true)) => {
                let made = asked
                    .new_secret(cx, engine, cluster, Stage::Pending)
                    .await?;
                Ok(Self::Managed(made.0, made.1))
            }
            _ if asked.password.is_some() => Ok(Self::Given(verifier()?)),
            _ => Ok(Self::Stays),
        }
    }

    /// What the server is to keep of the new password, if there is one.
    pub(crate) fn master_verifier(&self) -> Option<&String> {
        match self {
            Self::Stays => None,
            Self::Given(verifier) | Self::Managed(_, verifier) | Self::Unmanaged(verifier) => {
                Some(verifier)
            }
            Self::Rotated(rotation) => Some(&rotation.master_verifier),
        }
    }

    /// Writes into a cluster's record what will be, and answers what is left to do when it is.
    ///
    /// # Errors
    /// `ServiceUnavailable` when another request came between.
    pub(crate) fn note(
        &self,
        cluster: &mut Cluster,
        now: Timestamp,
    ) -> Result<Option<SecretChange>, Fault> {
        let is_managed = cluster.master_secret.is_some();
        match self {
            Self::Stays => Ok(None),
            Self::Given(_) if !is_managed => Ok(None),
            Self::Managed(secret, _) if !is_managed => {
                let mut secret = secret.clone();
                secret.status = SecretStatus::Creating;
                cluster.master_secret = Some(secret);
                Ok(Some(SecretChange::Promote))
            }
            Self::Rotated(rotation) => {
                rotation::note(cluster, rotation, now)?;
                Ok(Some(SecretChange::Promote))
            }
            Self::Unmanaged(_) if is_managed => Ok(Some(SecretChange::Remove)),
            Self::Given(_) | Self::Managed(..) | Self::Unmanaged(_) => Err(Fault::new(
                Code::ServiceUnavailable,
                "The cluster was changed by another request at the same time. Try again.",
            )),
        }
    }
}

fn check_rotation(asked: &Asked, is_managed: bool, now: bool) -> Result<(), Fault> {
    let refused = |message: &'static str| Err(Fault::combination(message));
    if asked.managed.is_some() || asked.password.is_some() {
        return refused(
            "You can't specify RotateMasterUserPassword with ManageMasterUserPassword or MasterUserPassword.",
        );
    }
    if !is_managed {
        return refused(
            "You can't specify RotateMasterUserPassword for a cluster whose master user password is not managed in AWS Secrets Manager.",
        );
    }
    if !now {
        return refused(
            "You must specify ApplyImmediately when you specify RotateMasterUserPassword.",
        );
    }
    Ok(())
}

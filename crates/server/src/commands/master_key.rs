//! `snapferry master-key rotate`: finds both keys, has everything sealed anew, puts the new one in place.
//!
//! It does not know what the master key seals.
use clap::{Args, Subcommand};
use std::{path::PathBuf, sync::Arc};

use model::{Clock, SystemClock, SystemEntropy};
use serde_json::json;
use service::{
    RecordLogWriter, Seal, Settings,
    record_log::rotate_master_key::{self, Rotated, RotationContext},
};

use crate::{
    commands::{
        arguments::{Format, Offline},
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        offline,
        output::{print, run},
    },
    deployment::{catalogs, master_key},
    units::counted,
};

/// Change the master key
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    snapferry master-key rotate"
)]
pub(crate) struct MasterKey {
    #[command(subcommand)]
    verb: MasterKeyVerb,
}

/// `snapferry master-key ...`.
#[derive(Debug, Subcommand)]
enum MasterKeyVerb {
    /// Draw a new master key, and seal by it all that the old one seals
    ///
    /// That are access keys' secrets, KMS keys' material, and the record log in every vault;
    /// snapshots' bytes stay as they are. Stop every server of the deployment first. Both keys are kept
    /// until the end, so when the command is interrupted, give it again.
    ///
    /// The new key is in DATA/master.key afterwards: keep a copy of it elsewhere. The old one is kept
    /// beside it, under a name with its fingerprint's first digits; it opens backups of its time, and
    /// nothing else. When the key is given by SNAPFERRY_MASTER_KEY or --master-key-fd, put the new one at
    /// DATA/master.key.next first.
    #[command(after_help = "Examples:\n  \
        snapferry master-key rotate\n  \
        snapferry master-key rotate --config /etc/snapferry.toml --format json")]
    Rotate(Box<Rotate>),
}

/// `snapferry master-key rotate`.
#[derive(Debug, Args)]
struct Rotate {
    #[command(flatten)]
    offline: Offline,
    #[command(flatten)]
    format: Format,
}

impl Run for MasterKey {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        let MasterKeyVerb::Rotate(asked) = self.verb;
        rotate(*asked)?;
        Ok(Outcome::Done)
    }
}

/// `snapferry master-key rotate`.
///
/// # Errors
/// Whatever kept it from its work; it can be given again.
fn rotate(asked: Rotate) -> Result<(), Failure> {
    let descriptor = asked.offline.master_key.master_key_fd;
    let (layer, dir) = offline::open(asked.offline)?;
    let catalog = catalogs::open_existing(&dir, layer.catalog.as_ref())?;
    let default_region = match &layer.default_region {
        Some(region) => region.clone(),
        None => Settings::new(layer.mode(), dir.path().to_owned()).default_region,
    };
    let pair = run(async {
        catalogs::check_unserved(&*catalog).await?;
        catalogs::check_whole(&*catalog).await?;
        let pair = master_key::obtain_pair(&dir, descriptor)?;
        master_key::check_either(&*catalog, &pair).await?;
        Ok(pair)
    })?;
    let done = run(async {
        let vaults = offline::vaults(&layer, &dir, Some(&default_region)).await?;
        let both = Arc::new(pair.both());
        let record_log = RecordLogWriter {
            catalog: Arc::clone(&catalog),
            seal: Seal::new(Arc::clone(&both)),
            entropy: Arc::new(SystemEntropy),
        };
        let ground = RotationContext {
            record_log: &record_log,
            master_key: &both,
            vaults: &vaults,
            default_region: &default_region,
            now: SystemClock.now(),
        };
        Ok(rotate_master_key::rotate(&ground).await?)
    })?;
    let (new, old) = master_key::settle(&dir, &pair)?;
    print(&shown(asked.format, done, &new, old.as_ref()))
}

fn shown(format: Format, done: Rotated, new: &PathBuf, old: Option<&PathBuf>) -> String {
    if format == Format::Json {
        let value = json!({
            "access_keys": done.access_keys,
            "kms_keys": done.kms_keys,
            "objects_removed": done.removed,
            "new_key": new,
            "old_key": old,
        });
        return format!("{value:#}\n");
    }
    let mut text = format!(
        "sealed anew: {}, {}, and the record log ({} removed)\n",
        counted(done.access_keys, "access key"),
        counted(done.kms_keys, "KMS key"),
        counted(done.removed, "old object")
    );
    text.push_str(&match old {
        Some(old) => format!(
            "the new master key is {}: keep a copy of it elsewhere, and give it to the other nodes\n\
             the old one is {}: move it to the backups of its time, which it opens\n",
            new.display(),
            old.display()
        ),
        None => format!(
            "the new master key is in {}: give that one from now on, and remove the file\n",
            new.display()
        ),
    });
    text
}

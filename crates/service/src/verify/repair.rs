//! Fetching damaged objects again from the other regions of this deployment.
//!
//! It does not know which objects are damaged. A copy between regions ships objects as they are,
//! so another region that holds a copy of a snapshot holds the same objects.
use std::collections::{HashMap, HashSet};

use catalog::{CatalogError, CatalogExt, tombstones};
use model::{Content, Region, VolumeRef};
use vault::{Check, Mended, ObjectId, ObjectKind, Observer, Passed, Repairer, VaultError};

use super::Remedy;
use crate::{
    context::ServiceContext,
    fault::chain,
    jobs::{JobError, Run, progress::JobProgress},
};

/// Repairers by region and volume, opened at their first use. One for each verification: what
/// vaults hold is listed once.
pub(crate) struct Repairers<'a> {
    context: &'a ServiceContext,
    open: HashMap<(Region, VolumeRef), (Repairer, Vec<Region>)>,
}

impl<'a> Repairers<'a> {
    pub(crate) fn new(context: &'a ServiceContext) -> Self {
        Self {
            context,
            open: HashMap::new(),
        }
    }

    async fn of(
        &mut self,
        region: &Region,
        volume: &VolumeRef,
    ) -> Result<&(Repairer, Vec<Region>), JobError> {
        let key = (region.clone(), volume.clone());
        if !self.open.contains_key(&key) {
            let mut regions = self.context.vaults.regions();
            regions.retain(|other| other != region);
            let mut others = Vec::with_capacity(regions.len());
            for other in &regions {
                let absent = absent(self.context, other, volume).await?;
                others.push((self.context.vaults.get(other)?, absent));
            }
            let here = absent(self.context, region, volume).await?;
            let repairer =
                Repairer::open(&self.context.vaults.get(region)?, volume, &here, others).await?;
            self.open.insert(key.clone(), (repairer, regions));
        }
        Ok(&self.open[&key])
    }

    /// Which other regions could have an object.
    ///
    /// # Errors
    /// The stores' and the catalog's.
    pub(crate) async fn look(
        &mut self,
        region: &Region,
        volume: &VolumeRef,
        object: ObjectId,
    ) -> Result<Remedy, JobError> {
        let (repairer, regions) = self.of(region, volume).await?;
        let listed: Vec<Region> = repairer
            .listed_by(object)
            .map(|number| regions[number].clone())
            .collect();
        Ok(if listed.is_empty() {
            Remedy::None
        } else {
            Remedy::ListedIn(listed)
        })
    }

    /// Brings an object back, and condemns what lay in its place.
    ///
    /// # Errors
    /// The stores' and the catalog's.
    pub(crate) async fn repair(
        &mut self,
        region: &Region,
        volume: &VolumeRef,
        object: ObjectId,
    ) -> Result<Remedy, JobError> {
        let context = self.context;
        let (repairer, regions) = self.of(region, volume).await?;
        match repairer.repair(object).await? {
            Mended::Whole => Ok(Remedy::StoredSo),
            Mended::Nowhere => Ok(Remedy::None),
            Mended::Written { from, bad } => {
                let (at, from) = (region.clone(), regions[from].clone());
                tracing::warn!(%region, %volume, %object, %from, "fetched again what was damaged");
                context.vaults.damage.mended();
                // The whole incarnation is durable by now, and counts as needed as the bad ones did.
                context
                    .catalog
                    .write(move |tx| tombstones::condemn(tx, &at, &bad))
                    .await?;
                Ok(Remedy::MendedFrom(from))
            }
        }
    }
}

/// Names in a volume of a region's vault that count as absent.
///
/// # Errors
/// The catalog's.
pub(crate) async fn absent(
    context: &ServiceContext,
    region: &Region,
    volume: &VolumeRef,
) -> Result<vault::Condemned, CatalogError> {
    let (at, prefix) = (region.clone(), format!("volumes/{volume}/"));
    context
        .catalog
        .read(move |tx| tombstones::list(tx, &at, &prefix))
        .await
}

/// What a restore or a copy does about an error of its source: when the source is damaged and
/// other regions hold all that it lacks, it is mended and the job may try again; else the error
/// stands. Reads all of the snapshot once.
pub(crate) async fn repair_snapshot(
    run: &Run,
    region: &Region,
    content: &Content,
    error: VaultError,
) -> JobError {
    if error.kind() != model::ErrorKind::Repair {
        return error.into();
    }
    tracing::warn!(%region, volume = %content.volume, cause = %chain(&error), "looks for what is damaged elsewhere");
    match repair_all(run, region, content).await {
        Ok(0) => error.into(),
        Ok(objects) => JobError::retry(format!(
            "{} was damaged in {region}: {objects} objects were fetched again from other regions",
            content.manifest
        )),
        Err(JobError::Fail(_)) => error.into(),
        Err(other) => other,
    }
}

/// Mends all that a manifest reaches and answers how many objects; fails when any of them is
/// nowhere.
async fn repair_all(run: &Run, region: &Region, content: &Content) -> Result<u64, JobError> {
    let mut repairers = Repairers::new(&run.context);
    let mut mended = 0;
    let mut tried = HashSet::new();
    loop {
        let damaged = damaged(run, region, content).await?;
        if damaged.is_empty() {
            return Ok(mended);
        }
        for object in damaged {
            // Once is enough: what is damaged still does not get better.
            if !tried.insert(object) {
                return Err(JobError::fail(format!("{object} is damaged still")));
            }
            match repairers.repair(region, &content.volume, object).await? {
                Remedy::MendedFrom(_) => mended += 1,
                _ => return Err(JobError::fail(format!("{object} is in no other region"))),
            }
        }
    }
}

/// Passes on only the wish to stop: the job counts its own bytes.
struct Asked<'a>(&'a JobProgress);

impl Observer for Asked<'_> {
    fn total(&self, _bytes: u64) {}
    fn done(&self, _bytes: u64) {}
    fn shipped(&self, _bytes: u64, _objects: u64) {}
    fn held(&self, _bytes: u64) {}
    fn stop_requested(&self) -> bool {
        self.0.stop_requested()
    }
}

/// The objects that a manifest reaches whose stored bytes are not theirs; the manifest alone
/// when it cannot be read.
async fn damaged(run: &Run, region: &Region, content: &Content) -> Result<Vec<ObjectId>, JobError> {
    let context = &run.context;
    let vault = context.vaults.get(region)?;
    let absent = absent(context, region, &content.volume).await?;
    let (content, progress) = (content.clone(), run.progress.clone());
    let looked = tokio::task::spawn_blocking(move || {
        let check = Check {
            vault: &vault,
            volume: &content.volume,
            manifest: content.manifest,
            data_key: None,
            read_data: false,
            sample_percent: 100,
            condemned: &absent,
            passed: &Passed::default(),
        };
        vault::check(check, &Asked(&progress))
    })
    .await
    .map_err(|error| JobError::retry(format!("the look ended early: {error}")))?;
    match looked {
        Ok(checked) => Ok(checked.damage.into_iter().map(|one| one.object).collect()),
        Err(VaultError::Missing { object } | VaultError::Damaged { object, .. })
            if object.kind == ObjectKind::Manifest =>
        {
            Ok(vec![object])
        }
        Err(error) => Err(error.into()),
    }
}

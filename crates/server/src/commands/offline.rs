//! A deployment that a verb works on while no server does: its settings, its folder, its vaults.
//!
//! It does not know what the verb does.
use model::Region;
use vault::Vault;

use crate::{
    commands::{arguments::Offline, failure::Failure},
    deployment::{
        data_dir::{DataDir, default_path, keep_private},
        vaults::{self, Vaults},
    },
    settings::Layer,
};

/// The settings of a verb, and the data folder, whose lock keeps servers out.
///
/// # Errors
/// The settings' and the folder's.
pub(crate) fn open(asked: Offline) -> Result<(Layer, DataDir), Failure> {
    let layer = layer(asked)?;
    keep_private();
    let path = match &layer.data {
        Some(path) => path.clone(),
        None => default_path(layer.mode())?,
    };
    let dir = DataDir::acquire(&path, layer.mode())?;
    Ok((layer, dir))
}

/// The settings of a verb: the file's, under what the command line says.
///
/// # Errors
/// The file's.
pub(crate) fn layer(asked: Offline) -> Result<Layer, Failure> {
    let file = asked.config.as_deref().map(Layer::read).transpose()?;
    Ok(Layer {
        dev: asked.dev.then_some(true),
        data: asked.folder.data,
        catalog: asked.folder.shared.catalog,
        vault: asked.place.vault,
        vault_endpoint: asked.place.vault_endpoint,
        vault_virtual_host: asked.place.vault_virtual_host,
        ..Layer::default()
    }
    .over(file.unwrap_or_default()))
}

/// Every region's vault, by the regions' names; that of `and`, too, when it has none yet.
///
/// # Errors
/// When one cannot be opened.
pub(crate) async fn vaults(
    layer: &Layer,
    dir: &DataDir,
    and: Option<&Region>,
) -> Result<Vec<(Region, Vault)>, Failure> {
    let Vaults { open, regions } = vaults::open(layer, dir).await?;
    let mut regions = regions();
    regions.extend(and.cloned());
    regions.sort();
    regions.dedup();
    regions
        .into_iter()
        .map(|region| match open(&region) {
            Ok(vault) => Ok((region, vault)),
            Err(error) => Err(Failure::Vault(region, error)),
        })
        .collect()
}

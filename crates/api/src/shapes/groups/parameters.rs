//! Parameter groups: which there are, what their parameters are, and how they are changed.
//!
//! What parameters there are, and what their values may be, is the engine's to say.
use std::{collections::BTreeMap, sync::Arc};

use catalog::{CatalogError, CatalogExt, Stored, Tx, instances, keyed};
use engine::{Engine, Parameter};
use model::{
    Account, ApplyMethod, Cluster, GroupScope, ParameterGroup, ParameterSetting, Region, limits,
    names::DEFAULT_PREFIX,
};
use serde::{Deserialize, Serialize};

use super::{always, clusters_with, keep};
use crate::{
    action::ActionContext,
    shapes::{
        Filter, Page, Ref, ResourceName, Tag,
        family::{self, Family},
        to_records,
    },
};
use service::fault::{Code, Fault};

/// The group of a family that is always there.
fn default(region: &Region, account: &Account, scope: GroupScope, family: &str) -> ParameterGroup {
    let of = match scope {
        GroupScope::Cluster => "cluster parameter group",
        GroupScope::Instance => "parameter group",
    };
    ParameterGroup {
        region: region.clone(),
        account: account.clone(),
        scope,
        name: format!("{DEFAULT_PREFIX}{family}"),
        family: family.to_owned(),
        description: format!("Default {of} for {family}"),
        parameters: BTreeMap::new(),
        tags: Vec::new(),
    }
}

/// Finds a group; those of the engines' families are always there.
pub(super) fn get(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    scope: GroupScope,
    name: &str,
) -> Result<Option<Stored<ParameterGroup>>, CatalogError> {
    let kept = keyed::get(tx, region, &[account.as_str(), scope.as_str(), name])?;
    let made = || {
        let family = name.strip_prefix(DEFAULT_PREFIX)?;
        engine::profile_of_family(family)?;
        Some(always(default(region, account, scope, family)))
    };
    Ok(kept.or_else(made))
}

/// The caller's groups, with those of the installed families, by name.
pub(crate) async fn all(
    cx: &ActionContext,
    scope: GroupScope,
) -> Result<Vec<ParameterGroup>, Fault> {
    let families = family::installed(&cx.service.engines);
    let always = families.iter();
    let always = always.map(|family| default(&cx.region, &cx.caller.account, scope, &family.name));
    super::all(cx, vec![scope.as_str()], always.collect()).await
}

/// One group of the caller's.
pub(crate) async fn one<N>(cx: &ActionContext, wanted: Ref<N>) -> Result<ParameterGroup, Fault>
where
    N: ResourceName<Record = ParameterGroup> + Send + Sync + 'static,
{
    let (account, region) = (cx.caller.account.clone(), cx.region.clone());
    let found = cx
        .service
        .catalog
        .read(move |tx| wanted.own(tx, &account, &region))
        .await?;
    Ok(found.value)
}

/// A new group of the caller's, of a family whose programs are installed.
pub(crate) fn new(
    cx: &ActionContext,
    scope: GroupScope,
    name: &str,
    family: &str,
    description: &str,
    tags: &[Tag],
) -> Result<ParameterGroup, Fault> {
    Ok(ParameterGroup {
        family: installed(cx, family)?.name,
        name: name.to_owned(),
        description: description.to_owned(),
        tags: to_records(tags)?,
        ..default(&cx.region, &cx.caller.account, scope, family)
    })
}

/// A family by its name.
///
/// # Errors
/// `InvalidParameterValue` for one that is not installed.
pub(crate) fn installed(cx: &ActionContext, name: &str) -> Result<Family, Fault> {
    let families = family::installed(&cx.service.engines);
    let names: Vec<&str> = families.iter().map(|family| family.name.as_str()).collect();
    let refused = || {
        let shown: String = limits::echo(name);
        Fault::value(format!(
            "The parameter DBParameterGroupFamily {shown} is not a valid parameter group family. Installed here: {}.",
            names.join(", ")
        ))
    };
    let found = families.iter().find(|family| family.name == name);
    found.cloned().ok_or_else(refused)
}

/// Keeps a new group.
///
/// # Errors
/// The name is taken, or the quota reached.
pub(crate) async fn insert(
    cx: &ActionContext,
    group: ParameterGroup,
) -> Result<ParameterGroup, Fault> {
    let kept = cx.service.catalog.write(move |tx| {
        let above = [group.account.as_str(), group.scope.as_str()];
        let all = keyed::list::<ParameterGroup>(tx, &group.region, &above, usize::MAX)?;
        let taken = all.iter().any(|one| one.value.name == group.name);
        if taken {
            return Err(Fault::new(
                Code::DbParameterGroupAlreadyExists,
                format!("Parameter group {} already exists", group.name),
            ));
        }
        let own = all.iter().filter(|one| !one.value.is_default());
        if limits::PARAMETER_GROUPS_MAX <= own.count() {
            return Err(Fault::new(
                Code::DbParameterGroupQuotaExceeded,
                format!(
                    "Cannot create more than {} parameter groups",
                    limits::PARAMETER_GROUPS_MAX
                ),
            ));
        }
        Ok(keyed::insert(tx, group.clone())?.value)
    });
    kept.await
}

/// Forgets a group that no cluster and no instance has.
pub(crate) async fn delete<N>(cx: &ActionContext, wanted: Ref<N>) -> Result<(), Fault>
where
    N: ResourceName<Record = ParameterGroup> + Send + Sync + 'static,
{
    let (account, region) = (cx.caller.account.clone(), cx.region.clone());
    let deleted = cx.service.catalog.write(move |tx| {
        let group = wanted.own(tx, &account, &region)?.value;
        changeable(&group, "deleted")?;
        if is_used(tx, &group)? {
            return Err(Fault::new(
                Code::InvalidDbParameterGroupState,
                format!(
                    "One or more database instances are still members of this parameter group {}, so the group cannot be deleted",
                    group.name
                ),
            ));
        }
        keyed::delete(tx, &group)?;
        Ok(())
    });
    deleted.await
}

fn is_used(tx: &mut dyn Tx, group: &ParameterGroup) -> Result<bool, CatalogError> {
    let is_named = |given: &Option<String>| given.as_deref() == Some(group.name.as_str());
    match group.scope {
        GroupScope::Cluster => {
            let uses = |cluster: &Cluster| is_named(&cluster.options.parameter_group);
            Ok(!clusters_with(tx, &group.region, &group.account, uses)?.is_empty())
        }
        GroupScope::Instance => {
            let all = instances::list(tx, &group.region, &group.account)?;
            Ok(all
                .iter()
                .any(|one| is_named(&one.value.options.parameter_group)))
        }
    }
}

/// Refuses what cannot be done to a default group.
fn changeable(group: &ParameterGroup, what: &str) -> Result<(), Fault> {
    match group.is_default() {
        false => Ok(()),
        true => Err(Fault::new(
            Code::InvalidDbParameterGroupState,
            format!(
                "Default DBParameterGroup cannot be {what}: {}. Create a group of your own, or copy this one.",
                group.name
            ),
        )),
    }
}

/// A parameter in a request: what else is said of it is not read.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(rename = "Parameter", rename_all = "PascalCase")]
pub struct Asked {
    parameter_name: Option<String>,
    parameter_value: Option<String>,
    apply_method: Option<String>,
}

impl Asked {
    fn name(&self) -> Result<&str, Fault> {
        self.parameter_name.as_deref().ok_or_else(|| {
            Fault::new(
                Code::MissingParameter,
                "The request must contain the parameter ParameterName.",
            )
        })
    }

    /// What it is about, and when it is to take effect.
    fn read<'a>(&self, known: &'a [Parameter]) -> Result<(&'a Parameter, ApplyMethod), Fault> {
        let name = self.name()?;
        let found = known
            .iter()
            .find(|one| one.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                let shown: String = limits::echo(name);
                Fault::value(format!("Could not find parameter with name: {shown}"))
            })?;
        if let Some(why) = found.kept {
            return Err(Fault::value(format!(
                "The parameter {} cannot be modified: {why}.",
                found.name
            )));
        }
        let method = match self.apply_method.as_deref() {
            Some("immediate") if found.is_static => {
                return Err(Fault::combination(format!(
                    "cannot use immediate apply method for static parameter {}",
                    found.name
                )));
            }
            Some("immediate") => ApplyMethod::Immediate,
            Some("pending-reboot") => ApplyMethod::PendingReboot,
            None if found.is_static => ApplyMethod::PendingReboot,
            None => ApplyMethod::Immediate,
            Some(_) => {
                return Err(Fault::value("ApplyMethod is immediate or pending-reboot."));
            }
        };
        Ok((found, method))
    }

    /// The value that is to be set.
    fn value(&self, of: &Parameter) -> Result<&str, Fault> {
        let value = self.parameter_value.as_deref().ok_or_else(|| {
            Fault::new(
                Code::MissingParameter,
                "The request must contain the parameter ParameterValue.",
            )
        })?;
        if limits::PARAMETER_VALUE_BYTES_MAX < value.len() || !of.takes(value) {
            let shown: String = limits::echo(value);
            return Err(Fault::value(format!(
                "Invalid parameter value: {shown} for: {} allowed values are: {}",
                of.name,
                of.allowed().unwrap_or_else(|| "text".to_owned())
            )));
        }
        Ok(value)
    }
}

fn count(asked: &[Asked]) -> Result<(), Fault> {
    match (1..=limits::PARAMETERS_AT_ONCE_MAX).contains(&asked.len()) {
        true => Ok(()),
        false => Err(Fault::value(format!(
            "Parameters has 1 to {} parameters in one request.",
            limits::PARAMETERS_AT_ONCE_MAX
        ))),
    }
}

/// The parameters of a group's family.
async fn known(cx: &ActionContext, family: &str) -> Result<(Family, Arc<Vec<Parameter>>), Fault> {
    let family = installed(cx, family)?;
    let known = family.engine.parameters(&family.version).await;
    let known = known.map_err(|error| Fault::internal(&error))?;
    Ok((family, known))
}

/// Sets parameters of a group; answers its name.
pub(crate) async fn modify<N>(
    cx: &ActionContext,
    wanted: Ref<N>,
    asked: &[Asked],
) -> Result<String, Fault>
where
    N: ResourceName<Record = ParameterGroup> + Clone + Send + Sync + 'static,
{
    let group = one(cx, wanted.clone()).await?;
    changeable(&group, "modified")?;
    count(asked)?;
    let (family, known) = known(cx, &group.family).await?;
    let mut settings = BTreeMap::new();
    for one in asked {
        let (parameter, apply_method) = one.read(&known)?;
        let value = one.value(parameter)?.to_owned();
        settings.insert(
            parameter.name.clone(),
            ParameterSetting {
                value: Some(value),
                apply_method,
            },
        );
    }
    judge(&*family.engine, &family.version, &settings).await?;
    let changed = change(cx, wanted, move |group| {
        group.parameters.extend(settings.clone());
    });
    changed.await
}

/// Has the database judge what fits its type.
async fn judge(
    engine: &dyn Engine,
    version: &str,
    settings: &BTreeMap<String, ParameterSetting>,
) -> Result<(), Fault> {
    let values = settings.iter();
    let values = values.filter_map(|(name, set)| Some((name.clone(), set.value.clone()?)));
    let said = engine.check_parameters(version, &values.collect()).await;
    match said.map_err(|error| Fault::internal(&error))? {
        None => Ok(()),
        Some(said) => Err(Fault::value(format!("Invalid parameter value: {said}"))),
    }
}

/// Takes parameters of a group back to what they are without it; answers its name.
pub(crate) async fn reset<N>(
    cx: &ActionContext,
    wanted: Ref<N>,
    everything: bool,
    asked: &[Asked],
) -> Result<String, Fault>
where
    N: ResourceName<Record = ParameterGroup> + Clone + Send + Sync + 'static,
{
    let group = one(cx, wanted.clone()).await?;
    changeable(&group, "reset")?;
    if everything != asked.is_empty() {
        return Err(Fault::combination(
            "Give either ResetAllParameters or a list of Parameters.",
        ));
    }
    if everything {
        return change(cx, wanted, |group| group.parameters.clear()).await;
    }
    count(asked)?;
    let (_, known) = known(cx, &group.family).await?;
    let read = asked.iter().map(|one| one.read(&known));
    let read = read
        .map(|read| read.map(|(parameter, method)| (parameter.name.clone(), method)))
        .collect::<Result<Vec<(String, ApplyMethod)>, Fault>>()?;
    let statics: Vec<String> = known
        .iter()
        .filter(|parameter| parameter.is_static)
        .map(|parameter| parameter.name.clone())
        .collect();
    let changed = change(cx, wanted, move |group| {
        for (name, method) in &read {
            let waits = *method == ApplyMethod::PendingReboot && !statics.contains(name);
            match group.parameters.get_mut(name) {
                // The server has the value until its restart, as it was asked.
                Some(set) if waits => {
                    set.value = None;
                    set.apply_method = ApplyMethod::PendingReboot;
                }
                _ => drop(group.parameters.remove(name)),
            }
        }
    });
    changed.await
}

async fn change<N>(
    cx: &ActionContext,
    wanted: Ref<N>,
    change: impl Fn(&mut ParameterGroup) + Send + Sync + 'static,
) -> Result<String, Fault>
where
    N: ResourceName<Record = ParameterGroup> + Send + Sync + 'static,
{
    let (account, region) = (cx.caller.account.clone(), cx.region.clone());
    let changed = cx.service.catalog.write(move |tx| {
        let mut stored = wanted.own(tx, &account, &region)?;
        change(&mut stored.value);
        Ok::<_, Fault>(keep(tx, stored)?.name)
    });
    let name = changed.await?;
    cx.service.parameters.notify_one();
    Ok(name)
}

/// A parameter in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename = "Parameter", rename_all = "PascalCase")]
pub struct Shown {
    parameter_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter_value: Option<String>,
    description: String,
    source: &'static str,
    apply_type: &'static str,
    data_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_values: Option<String>,
    is_modifiable: bool,
    apply_method: &'static str,
    supported_engine_modes: Vec<&'static str>,
}

impl Shown {
    fn of(parameter: &Parameter, set: Option<&ParameterSetting>) -> Self {
        let chosen = set.and_then(|set| Some((set.value.as_ref()?, set.apply_method)));
        let (value, source) = match (chosen, &parameter.own) {
            (Some((value, _)), _) => (Some(value), "user"),
            (None, Some(own)) => (Some(own), "system"),
            (None, None) => (parameter.default.as_ref(), "engine-default"),
        };
        let method = match chosen {
            Some((_, ApplyMethod::Immediate)) => "immediate",
            _ => "pending-reboot",
        };
        Self {
            parameter_name: parameter.name.clone(),
            parameter_value: value.cloned(),
            description: parameter.description.clone(),
            source,
            apply_type: match parameter.is_static {
                true => "static",
                false => "dynamic",
            },
            data_type: parameter.data_type(),
            allowed_values: parameter.allowed(),
            is_modifiable: parameter.kept.is_none(),
            apply_method: method,
            supported_engine_modes: vec!["provisioned"],
        }
    }
}

/// The only filter of parameters.
const FILTERS: &[(&str, &str)] = &[("parameter-name", "Parameter Names")];

/// What a request asks of a list of parameters.
#[derive(Debug)]
pub(crate) struct Which<'a> {
    pub(crate) source: Option<&'a str>,
    pub(crate) filters: &'a [Filter],
    pub(crate) max_records: Option<i64>,
    pub(crate) marker: Option<&'a str>,
}

/// A page of a family's parameters, as a group sets them, and the marker of the next.
pub(crate) async fn parameters(
    cx: &ActionContext,
    family: &str,
    set: &BTreeMap<String, ParameterSetting>,
    which: Which<'_>,
) -> Result<(Vec<Shown>, Option<String>), Fault> {
    let page: Page<(String, usize)> = Page::read(which.max_records, which.marker)?;
    Filter::check(which.filters, FILTERS)?;
    let sources = ["user", "system", "engine-default"];
    if let Some(source) = which.source.filter(|source| !sources.contains(source)) {
        let shown: String = limits::echo(source);
        return Err(Fault::value(format!(
            "Invalid value {shown} for Source. It is user, system or engine-default."
        )));
    }
    let (_, known) = known(cx, family).await?;
    let shown = known
        .iter()
        .map(|parameter| Shown::of(parameter, set.get(&parameter.name)));
    let found = shown.filter(|one| {
        let named = |filter: &Filter| {
            let mut values = filter.values.iter();
            values.any(|value| value.eq_ignore_ascii_case(&one.parameter_name))
        };
        which.source.is_none_or(|source| source == one.source) && which.filters.iter().all(named)
    });
    Ok(page.cut(found.collect(), |one| one.parameter_name.clone()))
}

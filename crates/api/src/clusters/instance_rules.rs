//! What is asked of a DB instance, checked, and what RDS says where that cannot be.
//!
//! Source: API_CreateDBInstance, API_ModifyDBInstance.
use catalog::{Tx, instances};
use model::{Cluster, Instance, InstanceName, InstanceStatus, instance::DEFAULT_TIER};

use service::fault::{Code, Fault};

/// What RDS says of a cluster whose instances cannot be changed now.
pub(crate) fn not_available(cluster: &Cluster) -> Fault {
    Fault::new(
        Code::InvalidDbClusterState,
        format!(
            "DB cluster {} is not currently in the available state: it is {}.",
            cluster.name,
            cluster.status.as_str()
        ),
    )
}

/// What RDS says of an instance that cannot be changed now.
pub(crate) fn wrong_state(instance: &Instance) -> Fault {
    let name = instance.arn_name();
    let message = match instance.status {
        InstanceStatus::Deleting => format!("Instance {name} is already being deleted."),
        status => format!(
            "Database instance {name} is not in the available state: it is {}.",
            status.as_str()
        ),
    };
    Fault::new(Code::InvalidDbInstanceState, message)
}

/// Refuses a name that another instance has.
pub(crate) fn is_free(
    tx: &mut dyn Tx,
    cluster: &Cluster,
    name: &InstanceName,
) -> Result<(), Fault> {
    match instances::named(tx, &cluster.region, &cluster.account, name)? {
        None => Ok(()),
        Some(_) => Err(Fault::new(
            Code::DbInstanceAlreadyExists,
            "DB instance already exists",
        )),
    }
}

/// Kept and answered: how large a server is, is the machine's to say.
pub(crate) fn class(given: &str) -> Result<(), Fault> {
    let rest = given.strip_prefix("db.");
    let legal = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    match rest.is_some_and(|rest| !rest.is_empty() && rest.len() < 60 && rest.chars().all(legal)) {
        true => Ok(()),
        false => Err(Fault::value(format!(
            "Invalid DB Instance class: {}",
            model::limits::echo(given)
        ))),
    }
}

/// `PromotionTier`, or that of an instance for which none is asked.
pub(crate) fn tier(given: Option<i64>) -> Result<u8, Fault> {
    let tier = given.unwrap_or(i64::from(DEFAULT_TIER));
    u8::try_from(tier)
        .ok()
        .filter(|tier| *tier <= 15)
        .ok_or_else(|| {
            Fault::value(format!(
                "Invalid value {tier} for PromotionTier. Must be between 0 and 15"
            ))
        })
}

/// `ddd:hh24:mi-ddd:hh24:mi`, compared and answered in lower case.
pub(crate) fn window(given: Option<&str>) -> Result<Option<String>, Fault> {
    let Some(given) = given else {
        return Ok(None);
    };
    let lower = given.to_ascii_lowercase();
    let moment = |text: &str| {
        let mut parts = text.split(':');
        let day = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].contains(&parts.next()?);
        let (hours, minutes) = (parts.next()?, parts.next()?);
        let legal = |text: &str, below: u32| {
            text.len() == 2 && text.parse::<u32>().is_ok_and(|number| number < below)
        };
        (day && legal(hours, 24) && legal(minutes, 60) && parts.next().is_none()).then_some(())
    };
    let read = lower.split_once('-');
    match read.and_then(|(from, to)| moment(from).zip(moment(to))) {
        Some(_) => Ok(Some(lower)),
        None => Err(Fault::value(
            "PreferredMaintenanceWindow must have the format ddd:hh24:mi-ddd:hh24:mi, in UTC.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_tiers_and_windows_are_checked() {
        assert!(class("db.r6g.large").is_ok() && class("db.serverless").is_ok());
        assert!(class("r6g.large").is_err() && class("db.").is_err() && class("db.a b").is_err());
        assert_eq!((tier(None), tier(Some(15))), (Ok(1), Ok(15)));
        assert!(tier(Some(16)).is_err() && tier(Some(-1)).is_err());
        assert_eq!(
            window(Some("Sun:04:00-Sun:04:30")),
            Ok(Some("sun:04:00-sun:04:30".to_owned()))
        );
        for wrong in [
            "sun:4:00-sun:04:30",
            "04:00-04:30",
            "day:04:00-sun:04:30",
            "",
        ] {
            assert!(window(Some(wrong)).is_err(), "{wrong}");
        }
    }
}

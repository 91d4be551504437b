//! What lists of jobs and recovery points are narrowed by.
use model::{BackupJob, Timestamp};

use super::{
    faults::{invalid, shown},
    jobs::category,
};
use service::fault::Fault;

/// A moment of the query: ISO 8601.
///
/// # Errors
/// `InvalidParameterValueException`.
pub(crate) fn moment(member: &str, given: Option<&str>) -> Result<Option<Timestamp>, Fault> {
    let read = |text: &str| {
        Timestamp::parse(text).ok_or_else(|| {
            invalid(
                member,
                format!("{member} is {}: it is no moment in ISO 8601.", shown(text)),
            )
        })
    };
    given.map(read).transpose()
}

/// Whether a moment lies between two, of which either may be left out.
pub(crate) fn between(
    moment: Option<Timestamp>,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
) -> bool {
    match moment {
        Some(moment) => {
            after.is_none_or(|after| after <= moment)
                && before.is_none_or(|before| moment <= before)
        }
        None => after.is_none() && before.is_none(),
    }
}

/// Whether a value is the one that is asked for, where one is.
pub(crate) fn is(asked: Option<&String>, value: &str) -> bool {
    asked.is_none_or(|asked| asked == value)
}

/// The same, where `*` asks for all.
fn is_any_or(asked: Option<&String>, value: &str) -> bool {
    asked.is_none_or(|asked| asked == "*" || asked == value)
}

/// A query's `After` and `Before`.
type Asked<'a> = (&'a Option<String>, &'a Option<String>);

/// Two moments of the query, between which a job's lies.
///
/// # Errors
/// `InvalidParameterValueException`.
pub(crate) fn span(
    (after, before): (&str, &str),
    given: Asked<'_>,
) -> Result<(Option<Timestamp>, Option<Timestamp>), Fault> {
    let of = |member, given: &Option<String>| moment(member, given.as_deref());
    Ok((of(after, given.0)?, of(before, given.1)?))
}

/// What every list of jobs is narrowed by.
#[derive(Debug, Default)]
pub(crate) struct OfJobs {
    pub(crate) resource_arn: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) resource_type: Option<String>,
    pub(crate) account_id: Option<String>,
    pub(crate) message_category: Option<String>,
    pub(crate) parent_job_id: Option<String>,
    pub(crate) created: (Option<Timestamp>, Option<Timestamp>),
    pub(crate) ended: (Option<Timestamp>, Option<Timestamp>),
}

impl OfJobs {
    /// Those that were created and came to their end between these moments.
    ///
    /// # Errors
    /// `InvalidParameterValueException`.
    pub(crate) fn between(created: Asked<'_>, ended: Asked<'_>) -> Result<Self, Fault> {
        Ok(Self {
            created: span(("ByCreatedAfter", "ByCreatedBefore"), created)?,
            ended: span(("ByCompleteAfter", "ByCompleteBefore"), ended)?,
            ..Self::default()
        })
    }

    pub(crate) fn passes(&self, job: &BackupJob) -> bool {
        is(self.resource_arn.as_ref(), &job.resource.to_string())
            && is(self.state.as_ref(), job.state.as_str())
            && is(self.resource_type.as_ref(), &job.resource_type)
            && is_any_or(self.account_id.as_ref(), job.account.as_str())
            && is_any_or(
                self.message_category.as_ref(),
                category(job.state).unwrap_or_default(),
            )
            // No job has a parent.
            && self.parent_job_id.is_none()
            && between(Some(job.created_at), self.created.0, self.created.1)
            && between(job.ended_at, self.ended.0, self.ended.1)
    }
}

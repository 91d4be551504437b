//! The faults of AWS Backup. `Context` names what they are about.
use std::borrow::Cow;

use model::limits::echo;

use service::fault::{Code, DoorCode, Fault};

fn fault(code: Code, context: &str, message: impl Into<Cow<'static, str>>) -> Fault {
    Fault::new(code, message).with("Context", shown(context))
}

/// A caller's text, cut.
pub(crate) fn shown(text: &str) -> String {
    echo(text)
}

/// `InvalidParameterValueException`.
pub(crate) fn invalid(context: &str, message: impl Into<Cow<'static, str>>) -> Fault {
    fault(Code::BackupInvalidParameter, context, message)
}

/// `MissingParameterValueException`.
pub(crate) fn missing(member: &str) -> Fault {
    let message = format!("The request must contain the parameter {member}.");
    fault(Code::BackupMissingParameter, member, message)
}

/// `ResourceNotFoundException`.
pub(crate) fn not_found(context: &str, message: impl Into<Cow<'static, str>>) -> Fault {
    fault(Code::SecretNotFound, context, message)
}

/// `InvalidRequestException`: what is asked for cannot be done as things are.
pub(crate) fn refused(context: &str, message: impl Into<Cow<'static, str>>) -> Fault {
    fault(Code::SecretInvalidRequest, context, message)
}

/// `LimitExceededException`.
pub(crate) fn limit(context: &str, message: impl Into<Cow<'static, str>>) -> Fault {
    fault(Code::KmsLimitExceeded, context, message)
}

/// What AWS Backup says where RDS, which it asks, refused.
pub(crate) fn of_rds(told: Fault) -> Fault {
    let code = match told.code.door() {
        DoorCode::NotFound => Code::SecretNotFound,
        DoorCode::ValidationError => Code::BackupInvalidParameter,
        DoorCode::AlreadyExists | DoorCode::InvalidState | DoorCode::KeyNotAccessible => {
            Code::SecretInvalidRequest
        }
        DoorCode::QuotaExceeded => Code::KmsLimitExceeded,
        _ => return told,
    };
    Fault { code, ..told }
}

/// `AlreadyExistsException` of a vault, which it names.
pub(crate) fn exists(arn: &str, creator_request_id: Option<&str>, context: &str) -> Fault {
    let message = format!("A Backup vault with the name {context} already exists");
    there((arn, creator_request_id), context, message)
}

/// `AlreadyExistsException` of what has that name.
pub(crate) fn exists_named(
    arn: &str,
    creator_request_id: Option<&str>,
    what: &str,
    name: &str,
) -> Fault {
    let message = format!("A {what} with the name {name} already exists");
    there((arn, creator_request_id), name, message)
}

/// `AlreadyExistsException` of a plan or a selection, which was made by the same request id and says
/// something else.
pub(crate) fn exists_otherwise(arn: &str, creator_request_id: Option<&str>, what: &str) -> Fault {
    let message = format!("Another {what} was created with the same CreatorRequestId");
    there((arn, creator_request_id), arn, message)
}

fn there((arn, creator_request_id): (&str, Option<&str>), context: &str, message: String) -> Fault {
    let there = fault(Code::KmsAlreadyExists, context, message).with("Arn", arn);
    match creator_request_id {
        Some(id) => there.with("CreatorRequestId", id),
        None => there,
    }
}

//! A record of one request, as CloudTrail writes it: [CloudTrail record contents].
//!
//! [CloudTrail record contents]: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
use serde::Serialize;
use serde_json::Value;

/// The version of the form.
const EVENT_VERSION: &str = "1.11";

/// Who asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserIdentity {
    /// `Root`, `AssumedRole`, `AWSService`, or `Unknown` for who proved nothing.
    pub r#type: &'static str,
    /// The account, or the role's session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    /// Its ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// Its account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The access key that signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// What asked by itself, as `backup.amazonaws.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoked_by: Option<&'static str>,
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Its ARN; its name where it has none.
    #[serde(rename = "ARN")]
    pub arn: String,
    /// Whose it is, as far as the request tells.
    pub account_id: String,
    /// Its kind, as CloudFormation calls it.
    pub r#type: &'static str,
}

/// A record of one request.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When it was answered, `2024-01-02T03:04:05Z`.
    pub event_time: String,
    /// The API: `rds.amazonaws.com`.
    pub event_source: String,
    /// The action; `Unknown` where none of ours was asked for.
    pub event_name: String,
    /// The region that was asked.
    pub aws_region: String,
    /// Where it came from: an address, or a service's name.
    #[serde(rename = "sourceIPAddress")]
    pub source_ip_address: String,
    /// The client, as it calls itself.
    pub user_agent: String,
    /// Who asked.
    pub user_identity: UserIdentity,
    /// The fault's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// The fault's sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The parameters, without secrets.
    pub request_parameters: Value,
    /// What was answered: not kept.
    pub response_elements: Value,
    /// The request's id, as its answer has it.
    #[serde(rename = "requestID")]
    pub request_id: String,
    /// The record's own id.
    #[serde(rename = "eventID")]
    pub event_id: String,
    /// Whether the action only reads.
    pub read_only: bool,
    /// What was asked for, or made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    /// Whose resources were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient_account_id: Option<String>,
}

/// A record with what is the same in all.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a> {
    event_version: &'static str,
    event_type: &'static str,
    management_event: bool,
    event_category: &'static str,
    #[serde(flatten)]
    record: &'a Record,
}

impl Record {
    /// The record as one JSON object on one line.
    pub(crate) fn to_json(&self) -> String {
        let whole = Whole {
            event_version: EVENT_VERSION,
            event_type: "AwsApiCall",
            management_event: true,
            event_category: "Management",
            record: self,
        };
        serde_json::to_string(&whole).expect("a record serializes")
    }
}

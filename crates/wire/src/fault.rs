//! A fault on the wire, and its renderings as JSON; [`xml`](crate::xml) has the third.
//!
//! It does not know which faults there are; the one table of them is the service's.
use std::borrow::Cow;

use serde_json::json;

/// The header that carries an AWS JSON 1.1 fault's code.
pub const ERROR_TYPE_HEADER: &str = "x-amzn-errortype";

/// What a caller is told when a request cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The code that clients compare.
    pub code: Cow<'static, str>,
    /// The HTTP status.
    pub status: u16,
    /// The sentence for people.
    pub message: String,
    /// Whether the sender is at fault, and not the receiver.
    pub sender: bool,
}

impl Fault {
    /// The JSON door's envelope; `door_code` is the door's word, such as `NOT_FOUND`.
    pub fn to_envelope(&self, door_code: &str, request_id: &str) -> String {
        json!({
            "success": false,
            "error": {
                "code": door_code,
                "message": self.message,
                "fault": self.code,
                "request_id": request_id,
            }
        })
        .to_string()
    }

    /// AWS JSON 1.1's body; the code goes into [`ERROR_TYPE_HEADER`] as well.
    pub fn to_aws_json(&self) -> String {
        json!({ "__type": self.code, "message": self.message }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_three_renderings() {
        let fault = Fault {
            code: "DBClusterSnapshotNotFoundFault".into(),
            status: 404,
            message: "\"a\" <b>".to_owned(),
            sender: true,
        };
        assert_eq!(
            fault.to_xml("http://rds.amazonaws.com/doc/2014-10-31/", "r-1"),
            "<ErrorResponse xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\"><Error>\
             <Type>Sender</Type><Code>DBClusterSnapshotNotFoundFault</Code>\
             <Message>&quot;a&quot; &lt;b&gt;</Message></Error><RequestId>r-1</RequestId>\
             </ErrorResponse>"
        );
        let envelope: serde_json::Value =
            serde_json::from_str(&fault.to_envelope("NOT_FOUND", "r-1")).unwrap();
        assert_eq!(
            envelope,
            json!({"success": false, "error": {"code": "NOT_FOUND", "message": "\"a\" <b>",
                   "fault": "DBClusterSnapshotNotFoundFault", "request_id": "r-1"}})
        );
        assert_eq!(
            fault.to_aws_json(),
            r#"{"__type":"DBClusterSnapshotNotFoundFault","message":"\"a\" <b>"}"#
        );
    }
}

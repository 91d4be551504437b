//! The APIs, and their words on the wire.
use service::fault::Code;
use wire::{
    InputCode, InputError,
    protocol::{Directory, Protocols, Service},
};

use crate::routes::BACKUP_ROUTES;

macro_rules! apis {
    ($($api:ident {
        name: $name:literal,
        namespace: $namespace:literal,
        target: $target:expr,
        missing_input: $missing_input:expr,
        invalid_input: $invalid_input:expr,
        book: $book:expr,
    })*) => {
        /// The API that an action belongs to.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Api { $($api,)* }

        impl Api {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$api,)*];

            /// The name in a credential's scope and a host name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$api => $name,)* }
            }

            /// The code for what is wrong with an input, where the API has one of its own.
            pub(crate) fn input_code(self, error: &InputError) -> Option<Code> {
                let (missing, invalid) = match self { $(Self::$api => ($missing_input, $invalid_input),)* };
                match error.code() {
                    InputCode::MissingParameter => missing,
                    _ => invalid,
                }
            }

            /// AWS's reference, below docs.aws.amazon.com; none of what is not AWS's.
            pub(crate) fn book(self) -> Option<&'static str> {
                match self { $(Self::$api => $book,)* }
            }
        }

        static SERVICES: &[Service] = &[$(Service {
            name: $name,
            namespace: $namespace,
            target: $target,
        },)*];
    };
}

// The first answers where none is named.
apis! {
    Rds {
        name: "rds",
        namespace: "http://rds.amazonaws.com/doc/2014-10-31/",
        target: None,
        missing_input: None,
        invalid_input: None,
        book: Some("AmazonRDS/latest/APIReference"),
    }
    Kms {
        name: "kms",
        namespace: "https://kms.amazonaws.com/doc/2014-11-01/",
        target: Some("TrentService."),
        missing_input: Some(Code::KmsValidation),
        invalid_input: Some(Code::KmsValidation),
        book: Some("kms/latest/APIReference"),
    }
    Sts {
        name: "sts",
        namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
        target: None,
        missing_input: None,
        invalid_input: None,
        book: Some("STS/latest/APIReference"),
    }
    Tagging {
        name: "tagging",
        namespace: "https://tagging.amazonaws.com/doc/2017-01-26/",
        target: Some("ResourceGroupsTaggingAPI_20170126."),
        missing_input: Some(Code::TaggingInvalidParameter),
        invalid_input: Some(Code::TaggingInvalidParameter),
        book: Some("resourcegroupstagging/latest/APIReference"),
    }
    SecretsManager {
        name: "secretsmanager",
        namespace: "https://secretsmanager.amazonaws.com/doc/2017-10-17/",
        target: Some("secretsmanager."),
        missing_input: Some(Code::KmsValidation),
        invalid_input: Some(Code::KmsValidation),
        book: Some("secretsmanager/latest/apireference"),
    }
    Backup {
        name: "backup",
        namespace: "http://backup.amazonaws.com/doc/2018-11-15/",
        target: None,
        missing_input: Some(Code::BackupMissingParameter),
        invalid_input: Some(Code::BackupInvalidParameter),
        book: Some("aws-backup/latest/devguide"),
    }
    CloudTrail {
        name: "cloudtrail",
        namespace: "http://cloudtrail.amazonaws.com/doc/2013-11-01/",
        target: Some("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101."),
        missing_input: Some(Code::KmsValidation),
        invalid_input: Some(Code::KmsValidation),
        book: Some("awscloudtrail/latest/APIReference"),
    }
    // What AWS has no action for.
    Snapferry {
        name: "snapferry",
        namespace: "urn:snapferry:api:1",
        target: Some("Snapferry_1."),
        missing_input: None,
        invalid_input: None,
        book: None,
    }
}

static DIRECTORY: Directory = Directory {
    services: SERVICES,
    // The operation that the JSON door was made for.
    unnamed: "CopyDBClusterSnapshot",
    routes: BACKUP_ROUTES,
};

/// The protocols that the APIs are spoken in.
pub static PROTOCOLS: Protocols = Protocols::new(&DIRECTORY);

impl Api {
    /// Reads a scope's or host's service name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|api| api.as_str() == text)
    }

    /// Its words on the wire.
    pub(crate) fn service(self) -> &'static Service {
        &SERVICES[self as usize]
    }
}

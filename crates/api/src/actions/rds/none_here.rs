//! What RDS has and Snapferry has not: the lists of it are empty, and each single one is not there.
//!
//! Tools ask for these before they go on; a true empty list lets them. Sources: the pages of the
//! API reference of the same names.
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::{Filter, Page},
};
use service::fault::{Code, Fault};

fn missing(code: Code, what: &str, given: &str) -> Fault {
    let shown: String = model::limits::echo(given);
    Fault::new(code, format!("{what} {shown} not found."))
}

/// Each action: its answer's list; the members that name one, with the fault for it; the members
/// that narrow the list down; its filters.
macro_rules! none_here {
    ($($action:ident, $output:ident: $name:literal lists $list:literal {
        one: $($id:ident = $id_member:literal is $code:ident $what:literal),*;
        narrowed: $($by:ident = $by_member:literal is $by_type:ty),*;
        filters: $($filter:literal),*;
    })*) => {$(
        /// The input.
        #[derive(Debug, Deserialize, schemars::JsonSchema)]
        pub struct $action {
            $(#[serde(rename = $id_member)]
            $id: Option<String>,)*
            $(#[serde(rename = $by_member)]
            $by: Option<$by_type>,)*
            #[serde(rename = "Filters", default)]
            filters: Vec<Filter>,
            #[serde(rename = "MaxRecords")]
            max_records: Option<i64>,
            #[serde(rename = "Marker")]
            marker: Option<String>,
        }

        /// The answer.
        #[derive(Debug, Serialize, schemars::JsonSchema)]
        pub struct $output {
            #[serde(rename = $list)]
            none: Vec<()>,
        }

        impl Output for $output {
            const LAYOUT: Layout = Layout::Page($list);

            fn label(&self) -> Label {
                Label::Page { next: None }
            }
        }

        impl Action for $action {
            const NAME: &'static str = $name;
            const API: Api = Api::Rds;
            const READS: bool = true;
            type Output = $output;

            async fn run(self, _: &ActionContext) -> Result<$output, Fault> {
                // Nothing is narrowed down to nothing.
                let _ = (&self.filters, $(&self.$by),*);
                Page::<String>::read(self.max_records, self.marker.as_deref())?;
                Filter::check(&self.filters, &[$(($filter, $filter)),*])?;
                $(if let Some(given) = &self.$id {
                    return Err(missing(Code::$code, $what, given));
                })*
                Ok($output { none: Vec::new() })
            }
        }
    )*};
}

none_here! {
    DescribeExportTasks, ExportTasks: "DescribeExportTasks" lists "ExportTasks" {
        one: id = "ExportTaskIdentifier" is ExportTaskNotFound "ExportTask";
        narrowed: source_arn = "SourceArn" is String, source_type = "SourceType" is String;
        filters: "export-task-identifier", "s3-bucket", "source-arn", "status";
    }
    DescribeDbSnapshots, DbSnapshots: "DescribeDBSnapshots" lists "DBSnapshots" {
        one: id = "DBSnapshotIdentifier" is DbSnapshotNotFound "DBSnapshot";
        narrowed: instance = "DBInstanceIdentifier" is String, sort = "SnapshotType" is String,
            shared = "IncludeShared" is bool, public = "IncludePublic" is bool,
            resource = "DbiResourceId" is String;
        filters: "db-instance-id", "db-snapshot-id", "dbi-resource-id", "snapshot-type", "engine";
    }
    DescribeDbProxies, DbProxies: "DescribeDBProxies" lists "DBProxies" {
        one: name = "DBProxyName" is DbProxyNotFound "DBProxy";
        narrowed: ;
        filters: ;
    }
    DescribeDbProxyEndpoints, DbProxyEndpoints: "DescribeDBProxyEndpoints" lists "DBProxyEndpoints" {
        one: proxy = "DBProxyName" is DbProxyNotFound "DBProxy",
            endpoint = "DBProxyEndpointName" is DbProxyEndpointNotFound "DBProxyEndpoint";
        narrowed: ;
        filters: ;
    }
    DescribeReservedDbInstances, ReservedDbInstances: "DescribeReservedDBInstances" lists "ReservedDBInstances" {
        one: id = "ReservedDBInstanceId" is ReservedDbInstanceNotFound "Reservation";
        narrowed: offering = "ReservedDBInstancesOfferingId" is String, class = "DBInstanceClass" is String,
            duration = "Duration" is String, product = "ProductDescription" is String,
            sort = "OfferingType" is String, multi_az = "MultiAZ" is bool, lease = "LeaseId" is String;
        filters: ;
    }
    DescribeReservedDbInstancesOfferings, ReservedDbInstancesOfferings:
    "DescribeReservedDBInstancesOfferings" lists "ReservedDBInstancesOfferings" {
        one: id = "ReservedDBInstancesOfferingId" is ReservedDbInstancesOfferingNotFound "Offering";
        narrowed: class = "DBInstanceClass" is String, duration = "Duration" is String,
            product = "ProductDescription" is String, sort = "OfferingType" is String,
            multi_az = "MultiAZ" is bool;
        filters: ;
    }
    DescribeDbInstanceAutomatedBackups, DbInstanceAutomatedBackups:
    "DescribeDBInstanceAutomatedBackups" lists "DBInstanceAutomatedBackups" {
        one: resource = "DbiResourceId" is DbInstanceAutomatedBackupNotFound "DBInstanceAutomatedBackup",
            arn = "DBInstanceAutomatedBackupsArn" is DbInstanceAutomatedBackupNotFound "DBInstanceAutomatedBackup";
        narrowed: instance = "DBInstanceIdentifier" is String;
        filters: "status", "db-instance-id", "dbi-resource-id";
    }
    DescribeOptionGroups, OptionGroups: "DescribeOptionGroups" lists "OptionGroupsList" {
        one: name = "OptionGroupName" is OptionGroupNotFound "OptionGroup";
        narrowed: engine = "EngineName" is String, version = "MajorEngineVersion" is String;
        filters: ;
    }
    DescribeDbSecurityGroups, DbSecurityGroups: "DescribeDBSecurityGroups" lists "DBSecurityGroups" {
        one: name = "DBSecurityGroupName" is DbSecurityGroupNotFound "DBSecurityGroup";
        narrowed: ;
        filters: ;
    }
    DescribeBlueGreenDeployments, BlueGreenDeployments:
    "DescribeBlueGreenDeployments" lists "BlueGreenDeployments" {
        one: id = "BlueGreenDeploymentIdentifier" is BlueGreenDeploymentNotFound "BlueGreenDeployment";
        narrowed: ;
        filters: "blue-green-deployment-identifier", "blue-green-deployment-name", "source", "target";
    }
    DescribeIntegrations, Integrations: "DescribeIntegrations" lists "Integrations" {
        one: id = "IntegrationIdentifier" is IntegrationNotFound "Integration";
        narrowed: ;
        filters: "integration-arn", "integration-name", "source-arn", "source-types", "status";
    }
    DescribeDbShardGroups, DbShardGroups: "DescribeDBShardGroups" lists "DBShardGroups" {
        one: id = "DBShardGroupIdentifier" is DbShardGroupNotFound "DBShardGroup";
        narrowed: ;
        filters: ;
    }
}

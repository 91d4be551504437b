//! The actions of the parameter groups of clusters.
use model::{ClusterParameterGroupName, GroupScope, ParameterGroup};
use serde::{Deserialize, Serialize};

use super::parameter_groups::parameter_group_actions;
use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::groups::{
        names::ClusterParameterGroupRef,
        parameters::{self, Asked, Shown, Which},
    },
    shapes::{self, Filter, Page, Tag},
};
use service::fault::Fault;

parameter_group_actions! {
    scope: GroupScope::Cluster, name: ClusterParameterGroupName, reference: ClusterParameterGroupRef,
    group: "DBClusterParameterGroup", member: "DBClusterParameterGroupName", arn: "DBClusterParameterGroupArn", list: "DBClusterParameterGroups",
    source: "SourceDBClusterParameterGroupIdentifier", target: "TargetDBClusterParameterGroupIdentifier",
    target_description: "TargetDBClusterParameterGroupDescription",
    create: "CreateDBClusterParameterGroup", copy: "CopyDBClusterParameterGroup", describe: "DescribeDBClusterParameterGroups", modify: "ModifyDBClusterParameterGroup",
    reset: "ResetDBClusterParameterGroup", delete: "DeleteDBClusterParameterGroup", parameters: "DescribeDBClusterParameters",
    defaults: "DescribeEngineDefaultClusterParameters",
}

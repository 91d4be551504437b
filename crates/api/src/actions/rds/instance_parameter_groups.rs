//! The actions of the parameter groups of instances.
use model::{GroupScope, ParameterGroup, ParameterGroupName};
use serde::{Deserialize, Serialize};

use super::parameter_groups::parameter_group_actions;
use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::groups::{
        names::ParameterGroupRef,
        parameters::{self, Asked, Shown, Which},
    },
    shapes::{self, Filter, Page, Tag},
};
use service::fault::Fault;

parameter_group_actions! {
    scope: GroupScope::Instance, name: ParameterGroupName, reference: ParameterGroupRef,
    group: "DBParameterGroup", member: "DBParameterGroupName", arn: "DBParameterGroupArn", list: "DBParameterGroups",
    source: "SourceDBParameterGroupIdentifier", target: "TargetDBParameterGroupIdentifier",
    target_description: "TargetDBParameterGroupDescription",
    create: "CreateDBParameterGroup", copy: "CopyDBParameterGroup", describe: "DescribeDBParameterGroups", modify: "ModifyDBParameterGroup",
    reset: "ResetDBParameterGroup", delete: "DeleteDBParameterGroup", parameters: "DescribeDBParameters",
    defaults: "DescribeEngineDefaultParameters",
}

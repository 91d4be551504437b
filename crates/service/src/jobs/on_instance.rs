//! What jobs on one instance of a cluster have in common: the document, and the node that has its files.
use model::{Cluster, Instance, InstanceId, Job, ResourceId, job::Subject};
use serde::{Deserialize, Serialize};

use super::run::{JobType, new_job};
use crate::context::ServiceContext;

/// The jobs' document.
#[derive(Debug, Serialize, Deserialize)]
pub struct Body {
    /// The cluster.
    pub cluster: ResourceId,
    /// The instance.
    pub instance: InstanceId,
}

/// A job on an instance. No other node than the instance's takes it.
pub fn job<J: JobType<Body = Body>>(
    context: &ServiceContext,
    cluster: &Cluster,
    instance: &Instance,
) -> Job {
    let body = Body {
        cluster: cluster.resource_id.clone(),
        instance: instance.id.clone(),
    };
    let subject = Subject::cluster(&cluster.region, &cluster.account, &cluster.name);
    Job {
        node: Some(instance.placement.node.clone()),
        ..new_job::<J>(context, subject, &body)
    }
}

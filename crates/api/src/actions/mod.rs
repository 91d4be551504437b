//! Every API action, one file each. Adding one is its file, its line in its API's `mod.rs`,
//! and its line here.
mod backup;
mod cloudtrail;
mod kms;
mod rds;
mod secretsmanager;
mod snapferry;
mod sts;
mod tagging;

pub(crate) use self::backup::restore_door::Door as RestoreDoor;

use crate::action::{Api, Entry, entry};

macro_rules! actions {
    ($($api:ident { $($module:ident :: $action:ident,)* })*) => {
        /// The registry.
        pub static ACTIONS: &[Entry] = &[$($(entry::<$api::$module::$action>(),)*)*];
    };
}

actions! {
    rds {
        add_role_to_db_cluster::AddRoleToDbCluster,
        add_tags_to_resource::AddTagsToResource,
        cluster_parameter_groups::Copy,
        cluster_parameter_groups::Create,
        cluster_parameter_groups::Delete,
        cluster_parameter_groups::Describe,
        cluster_parameter_groups::DescribeDefaults,
        cluster_parameter_groups::DescribeParameters,
        cluster_parameter_groups::Modify,
        cluster_parameter_groups::Reset,
        copy_db_cluster_snapshot::CopyDbClusterSnapshot,
        create_db_cluster::CreateDbCluster,
        create_db_cluster_snapshot::CreateDbClusterSnapshot,
        create_db_instance::CreateDbInstance,
        create_db_subnet_group::CreateDbSubnetGroup,
        delete_db_cluster::DeleteDbCluster,
        delete_db_cluster_automated_backup::DeleteDbClusterAutomatedBackup,
        delete_db_cluster_snapshot::DeleteDbClusterSnapshot,
        delete_db_instance::DeleteDbInstance,
        delete_db_subnet_group::DeleteDbSubnetGroup,
        describe_account_attributes::DescribeAccountAttributes,
        describe_certificates::DescribeCertificates,
        describe_db_cluster_automated_backups::DescribeDbClusterAutomatedBackups,
        describe_db_cluster_endpoints::DescribeDbClusterEndpoints,
        describe_db_cluster_snapshot_attributes::DescribeDbClusterSnapshotAttributes,
        describe_db_cluster_snapshots::DescribeDbClusterSnapshots,
        describe_db_clusters::DescribeDbClusters,
        describe_db_engine_versions::DescribeDbEngineVersions,
        describe_db_instances::DescribeDbInstances,
        describe_db_subnet_groups::DescribeDbSubnetGroups,
        describe_event_categories::DescribeEventCategories,
        describe_events::DescribeEvents,
        describe_global_clusters::DescribeGlobalClusters,
        describe_orderable_db_instance_options::DescribeOrderableDbInstanceOptions,
        describe_pending_maintenance_actions::DescribePendingMaintenanceActions,
        describe_source_regions::DescribeSourceRegions,
        event_subscriptions::AddSourceIdentifierToSubscription,
        event_subscriptions::CreateEventSubscription,
        event_subscriptions::DeleteEventSubscription,
        event_subscriptions::DescribeEventSubscriptions,
        event_subscriptions::ModifyEventSubscription,
        event_subscriptions::RemoveSourceIdentifierFromSubscription,
        failover_db_cluster::FailoverDbCluster,
        instance_parameter_groups::Copy,
        instance_parameter_groups::Create,
        instance_parameter_groups::Delete,
        instance_parameter_groups::Describe,
        instance_parameter_groups::DescribeDefaults,
        instance_parameter_groups::DescribeParameters,
        instance_parameter_groups::Modify,
        instance_parameter_groups::Reset,
        list_tags_for_resource::ListTagsForResource,
        modify_db_cluster::ModifyDbCluster,
        modify_db_cluster_snapshot_attribute::ModifyDbClusterSnapshotAttribute,
        modify_db_instance::ModifyDbInstance,
        modify_db_subnet_group::ModifyDbSubnetGroup,
        none_here::DescribeBlueGreenDeployments,
        none_here::DescribeDbInstanceAutomatedBackups,
        none_here::DescribeDbProxies,
        none_here::DescribeDbProxyEndpoints,
        none_here::DescribeDbSecurityGroups,
        none_here::DescribeDbShardGroups,
        none_here::DescribeDbSnapshots,
        none_here::DescribeExportTasks,
        none_here::DescribeIntegrations,
        none_here::DescribeOptionGroups,
        none_here::DescribeReservedDbInstances,
        none_here::DescribeReservedDbInstancesOfferings,
        reboot_db_cluster::RebootDbCluster,
        reboot_db_instance::RebootDbInstance,
        remove_role_from_db_cluster::RemoveRoleFromDbCluster,
        remove_tags_from_resource::RemoveTagsFromResource,
        restore_db_cluster_from_snapshot::RestoreDbClusterFromSnapshot,
        restore_db_cluster_to_point_in_time::RestoreDbClusterToPointInTime,
        start_db_cluster::StartDbCluster,
        stop_db_cluster::StopDbCluster,
    }
    kms {
        cancel_key_deletion::CancelKeyDeletion,
        create_alias::CreateAlias,
        create_grant::CreateGrant,
        create_key::CreateKey,
        decrypt::Decrypt,
        delete_alias::DeleteAlias,
        describe_key::DescribeKey,
        disable_key::DisableKey,
        disable_key_rotation::DisableKeyRotation,
        enable_key::EnableKey,
        enable_key_rotation::EnableKeyRotation,
        encrypt::Encrypt,
        generate_data_key::GenerateDataKey,
        generate_data_key_without_plaintext::GenerateDataKeyWithoutPlaintext,
        generate_mac::GenerateMac,
        generate_random::GenerateRandom,
        get_key_policy::GetKeyPolicy,
        get_key_rotation_status::GetKeyRotationStatus,
        get_public_key::GetPublicKey,
        list_aliases::ListAliases,
        list_grants::ListGrants,
        list_key_policies::ListKeyPolicies,
        list_key_rotations::ListKeyRotations,
        list_keys::ListKeys,
        list_resource_tags::ListResourceTags,
        put_key_policy::PutKeyPolicy,
        re_encrypt::ReEncrypt,
        replicate_key::ReplicateKey,
        retire_grant::RetireGrant,
        revoke_grant::RevokeGrant,
        rotate_key_on_demand::RotateKeyOnDemand,
        schedule_key_deletion::ScheduleKeyDeletion,
        sign::Sign,
        tag_resource::TagResource,
        untag_resource::UntagResource,
        update_alias::UpdateAlias,
        update_key_description::UpdateKeyDescription,
        update_primary_region::UpdatePrimaryRegion,
        verify::Verify,
        verify_mac::VerifyMac,
    }
    sts {
        assume_role::AssumeRole,
        get_caller_identity::GetCallerIdentity,
        get_session_token::GetSessionToken,
    }
    backup {
        access_policy::DeleteBackupVaultAccessPolicy,
        access_policy::GetBackupVaultAccessPolicy,
        access_policy::PutBackupVaultAccessPolicy,
        backup_jobs::DescribeBackupJob,
        backup_jobs::ListBackupJobs,
        backup_jobs::StopBackupJob,
        backup_plans::CreateBackupPlan,
        backup_plans::DeleteBackupPlan,
        backup_plans::GetBackupPlan,
        backup_plans::ListBackupPlanVersions,
        backup_plans::ListBackupPlans,
        backup_plans::UpdateBackupPlan,
        backup_selections::CreateBackupSelection,
        backup_selections::DeleteBackupSelection,
        backup_selections::GetBackupSelection,
        backup_selections::ListBackupSelections,
        copy_jobs::DescribeCopyJob,
        copy_jobs::ListCopyJobs,
        copy_jobs::StartCopyJob,
        create_backup_vault::CreateBackupVault,
        delete_backup_vault::DeleteBackupVault,
        describe_backup_vault::DescribeBackupVault,
        job_summaries::ListBackupJobSummaries,
        job_summaries::ListCopyJobSummaries,
        job_summaries::ListRestoreJobSummaries,
        legal_holds::CancelLegalHold,
        legal_holds::CreateLegalHold,
        legal_holds::GetLegalHold,
        legal_holds::ListLegalHolds,
        legal_holds::ListRecoveryPointsByLegalHold,
        list_backup_vaults::ListBackupVaults,
        list_recovery_points_by_resource::ListRecoveryPointsByResource,
        protected_resources::DescribeProtectedResource,
        protected_resources::ListProtectedResources,
        protected_resources::ListProtectedResourcesByBackupVault,
        recovery_points::DeleteRecoveryPoint,
        recovery_points::DescribeRecoveryPoint,
        recovery_points::ListRecoveryPointsByBackupVault,
        recovery_points::UpdateRecoveryPointLifecycle,
        restore_jobs::DescribeRestoreJob,
        restore_jobs::GetRecoveryPointRestoreMetadata,
        restore_jobs::GetRestoreJobMetadata,
        restore_jobs::ListRestoreJobs,
        restore_jobs::ListRestoreJobsByProtectedResource,
        restore_jobs::StartRestoreJob,
        restore_testing_plans::CreateRestoreTestingPlan,
        restore_testing_plans::DeleteRestoreTestingPlan,
        restore_testing_plans::GetRestoreTestingPlan,
        restore_testing_plans::ListRestoreTestingPlans,
        restore_testing_plans::UpdateRestoreTestingPlan,
        restore_testing_selections::CreateRestoreTestingSelection,
        restore_testing_selections::DeleteRestoreTestingSelection,
        restore_testing_selections::GetRestoreTestingSelection,
        restore_testing_selections::ListRestoreTestingSelections,
        restore_testing_selections::UpdateRestoreTestingSelection,
        restore_validation::GetRestoreTestingInferredMetadata,
        restore_validation::PutRestoreValidationResult,
        settings::DescribeGlobalSettings,
        settings::DescribeRegionSettings,
        settings::GetSupportedResourceTypes,
        settings::UpdateGlobalSettings,
        settings::UpdateRegionSettings,
        start_backup_job::StartBackupJob,
        tags::ListTags,
        tags::TagResource,
        tags::UntagResource,
        vault_lock::DeleteBackupVaultLockConfiguration,
        vault_lock::PutBackupVaultLockConfiguration,
    }
    tagging {
        get_resources::GetResources,
        get_tag_keys::GetTagKeys,
        get_tag_values::GetTagValues,
        tag_resources::TagResources,
        untag_resources::UntagResources,
    }
    secretsmanager {
        describe_secret::DescribeSecret,
        get_resource_policy::GetResourcePolicy,
        get_secret_value::GetSecretValue,
        list_secret_version_ids::ListSecretVersionIds,
        list_secrets::ListSecrets,
        managed::DeleteSecret,
        managed::PutSecretValue,
        managed::UpdateSecret,
        rotate_secret::RotateSecret,
    }
    cloudtrail {
        lookup_events::LookupEvents,
    }
    snapferry {
        describe_cluster_authority::DescribeClusterAuthority,
        describe_db_cluster_snapshot_costs::DescribeDbClusterSnapshotCosts,
        describe_db_cluster_snapshot_diff::DescribeDbClusterSnapshotDiff,
        describe_drills::DescribeDrills,
        describe_jobs::DescribeJobs,
        run_backup_plan::RunBackupPlan,
        run_restore_testing_plan::RunRestoreTestingPlan,
    }
}

/// Finds an action by its name, among one API's when that is known; else also by its name in the
/// JSON door, which no other action has.
pub fn find(api: Option<Api>, name: &str) -> Option<&'static Entry> {
    ACTIONS.iter().find(|entry| match api {
        Some(api) => entry.api == api && (entry.name == name || entry.door == name),
        None => entry.door == name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_over_all_apis() {
        let mut names: Vec<_> = ACTIONS.iter().map(|entry| entry.door).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ACTIONS.len());
    }

    #[test]
    fn only_reading_actions_are_marked_so() {
        for entry in ACTIONS {
            let verb = ["Describe", "List", "Get", "Lookup"]
                .iter()
                .any(|verb| entry.name.starts_with(verb));
            assert_eq!(entry.reads, verb, "{}", entry.name);
        }
    }
}

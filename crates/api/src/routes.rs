//! The methods, paths and query names of the actions that have them: AWS Backup's, all of its model, so
//! that one that is not implemented here is told from one that does not exist. A test compares them
//! with the model of botocore.
//!
//! Labels and query names carry the names of the input's members.
use http::Method;
use wire::protocol::Route;

macro_rules! routes {
    ($service:literal, $names:ident, $routes:ident:
        $($method:ident $action:ident $path:literal $($status:literal)?
            $(? $($query:literal => $member:ident),+)?;)*
    ) => {
        /// The names of the service's actions.
        pub static $names: &[&str] = &[$(stringify!($action),)*];

        /// Where they are asked.
        pub static $routes: &[Route] = &[$(Route {
            service: $service,
            action: stringify!($action),
            method: Method::$method,
            path: $path,
            query: &[$($(($query, stringify!($member)),)+)?],
            status: routes!(@status $($status)?),
        },)*];
    };
    (@status) => { 200 };
    (@status $status:literal) => { $status };
}

routes! { "backup", BACKUP_ACTIONS, BACKUP_ROUTES:
    PUT AssociateBackupVaultMpaApprovalTeam "/backup-vaults/{BackupVaultName}/mpaApprovalTeam" 204;
    DELETE CancelLegalHold "/legal-holds/{LegalHoldId}" 201 ?
        "cancelDescription" => CancelDescription, "retainRecordInDays" => RetainRecordInDays;
    PUT CreateBackupPlan "/backup/plans/";
    PUT CreateBackupSelection "/backup/plans/{BackupPlanId}/selections/";
    PUT CreateBackupVault "/backup-vaults/{BackupVaultName}";
    POST CreateFramework "/audit/frameworks";
    POST CreateLegalHold "/legal-holds/";
    PUT CreateLogicallyAirGappedBackupVault "/logically-air-gapped-backup-vaults/{BackupVaultName}";
    POST CreateReportPlan "/audit/report-plans";
    PUT CreateRestoreAccessBackupVault "/restore-access-backup-vaults";
    PUT CreateRestoreTestingPlan "/restore-testing/plans" 201;
    PUT CreateRestoreTestingSelection "/restore-testing/plans/{RestoreTestingPlanName}/selections" 201;
    PUT CreateTieringConfiguration "/tiering-configurations";
    DELETE DeleteBackupPlan "/backup/plans/{BackupPlanId}";
    DELETE DeleteBackupSelection "/backup/plans/{BackupPlanId}/selections/{SelectionId}";
    DELETE DeleteBackupVault "/backup-vaults/{BackupVaultName}";
    DELETE DeleteBackupVaultAccessPolicy "/backup-vaults/{BackupVaultName}/access-policy";
    DELETE DeleteBackupVaultLockConfiguration "/backup-vaults/{BackupVaultName}/vault-lock";
    DELETE DeleteBackupVaultNotifications "/backup-vaults/{BackupVaultName}/notification-configuration";
    DELETE DeleteFramework "/audit/frameworks/{FrameworkName}";
    DELETE DeleteRecoveryPoint "/backup-vaults/{BackupVaultName}/recovery-points/{RecoveryPointArn}";
    DELETE DeleteReportPlan "/audit/report-plans/{ReportPlanName}";
    DELETE DeleteRestoreTestingPlan "/restore-testing/plans/{RestoreTestingPlanName}" 204;
    DELETE DeleteRestoreTestingSelection "/restore-testing/plans/{RestoreTestingPlanName}/selections/{RestoreTestingSelectionName}" 204;
    DELETE DeleteTieringConfiguration "/tiering-configurations/{TieringConfigurationName}";
    GET DescribeBackupJob "/backup-jobs/{BackupJobId}";
    GET DescribeBackupVault "/backup-vaults/{BackupVaultName}" ?
        "backupVaultAccountId" => BackupVaultAccountId;
    GET DescribeCopyJob "/copy-jobs/{CopyJobId}";
    GET DescribeFramework "/audit/frameworks/{FrameworkName}";
    GET DescribeGlobalSettings "/global-settings";
    GET DescribeProtectedResource "/resources/{ResourceArn}";
    GET DescribeRecoveryPoint "/backup-vaults/{BackupVaultName}/recovery-points/{RecoveryPointArn}" ?
        "backupVaultAccountId" => BackupVaultAccountId;
    GET DescribeRegionSettings "/account-settings";
    GET DescribeReportJob "/audit/report-jobs/{ReportJobId}";
    GET DescribeReportPlan "/audit/report-plans/{ReportPlanName}";
    GET DescribeRestoreJob "/restore-jobs/{RestoreJobId}";
    GET DescribeScanJob "/scan/jobs/{ScanJobId}";
    POST DisassociateBackupVaultMpaApprovalTeam "/backup-vaults/{BackupVaultName}/mpaApprovalTeam" 204;
    POST DisassociateRecoveryPoint "/backup-vaults/{BackupVaultName}/recovery-points/{RecoveryPointArn}/disassociate";
    DELETE DisassociateRecoveryPointFromParent "/backup-vaults/{BackupVaultName}/recovery-points/{RecoveryPointArn}/parentAssociation" 204;
    GET ExportBackupPlanTemplate "/backup/plans/{BackupPlanId}/toTemplate/";
    GET GetBackupPlan "/backup/plans/{BackupPlanId}/" ?
        "versionId" => VersionId, "MaxScheduledRunsPreview" => MaxScheduledRunsPreview;
    POST GetBackupPlanFromJSON "/backup/template/json/toPlan";
    GET GetBackupPlanFromTemplate "/backup/template/plans/{BackupPlanTemplateId}/toPlan";
    GET GetBackupSelection "/backup/plans/{BackupPlanId}/selections/{SelectionId}";
    GET GetBackupVaultAccessPolicy "/backup-vaults/{BackupVaultName}/access-policy";
    GET GetBackupVaultNotifications "/backup-vaults/{BackupVaultName}/notification-configuration";
    GET GetLegalHold "/legal-holds/{LegalHoldId}/";
    GET GetRecoveryPointIndexDetails "/backup-vaults/{BackupVaultName}/recovery-points/{RecoveryPointArn}/index";
    GET GetRecoveryPointRestoreMetadata "/backup-vaults/{BackupVaultName}/recovery-points/{RecoveryPointArn}/restore-metadata" ?
        "backupVaultAccountId" => BackupVaultAccountId;
    GET GetRestoreJobMetadata "/restore-jobs/{RestoreJobId}/metadata";
    GET GetRestoreTestingInferredMetadata "/restore-testing/inferred-metadata" ?
        "BackupVaultAccountId" => BackupVaultAccountId, "BackupVaultName" => BackupVaultName,
        "RecoveryPointArn" => RecoveryPointArn;
    GET GetRestoreTestingPlan "/restore-testing/plans/{RestoreTestingPlanName}";
    GET GetRestoreTestingSelection "/restore-testing/plans/{RestoreTestingPlanName}/selections/{RestoreTestingSelectionName}";
    GET GetSupportedResourceTypes "/supported-resource-types";
    GET GetTieringConfiguration "/tiering-configurations/{TieringConfigurationName}";
    GET ListBackupJobSummaries "/audit/backup-job-summaries" ?
        "AccountId" => AccountId, "State" => State, "ResourceType" => ResourceType,
        "MessageCategory" => MessageCategory, "AggregationPeriod" => AggregationPeriod,
        "MaxResults" => MaxResults, "NextToken" => NextToken;
    GET ListBackupJobs "/backup-jobs/" ?
        "nextToken" => NextToken, "maxResults" => MaxResults, "resourceArn" => ByResourceArn,
        "state" => ByState, "backupVaultName" => ByBackupVaultName,
        "createdBefore" => ByCreatedBefore, "createdAfter" => ByCreatedAfter,
        "resourceType" => ByResourceType, "accountId" => ByAccountId,
        "completeAfter" => ByCompleteAfter, "completeBefore" => ByCompleteBefore,
        "parentJobId" => ByParentJobId, "messageCategory" => ByMessageCategory;
    GET ListBackupPlanTemplates "/backup/template/plans" ?
        "nextToken" => NextToken, "maxResults" => MaxResults;
    GET ListBackupPlanVersions "/backup/plans/{BackupPlanId}/versions/" ?
        "nextToken" => NextToken, "maxResults" => MaxResults;
    GET ListBackupPlans "/backup/plans/" ?
        "nextToken" => NextToken, "maxResults" => MaxResults, "includeDeleted" => IncludeDeleted;
    GET ListBackupSelections "/backup/plans/{BackupPlanId}/selections/" ?
        "nextToken" => NextToken, "maxResults" => MaxResults;
    GET ListBackupVaults "/backup-vaults/" ?
        "vaultType" => ByVaultType, "shared" => ByShared, "nextToken" => NextToken,
        "maxResults" => MaxResults;
    GET ListCopyJobSummaries "/audit/copy-job-summaries" ?
        "AccountId" => AccountId, "State" => State, "ResourceType" => ResourceType,
        "MessageCategory" => MessageCategory, "AggregationPeriod" => AggregationPeriod,
        "MaxResults" => MaxResults, "NextToken" => NextToken;
    GET ListCopyJobs "/copy-jobs/" ?
        "nextToken" => NextToken, "maxResults" => MaxResults, "resourceArn" => ByResourceArn,
        "state" => ByState, "createdBefore" => ByCreatedBefore, "createdAfter" => ByCreatedAfter,
        "resourceType" => ByResourceType, "destinationVaultArn" => ByDestinationVaultArn,
        "accountId" => ByAccountId, "completeBefore" => ByCompleteBefore,
        "completeAfter" => ByCompleteAfter, "parentJobId" => ByParentJobId,
        "messageCategory" => ByMessageCategory,
        "sourceRecoveryPointArn" => BySourceRecoveryPointArn;
    GET ListFrameworks "/audit/frameworks" ?
        "MaxResults" => MaxResults, "NextToken" => NextToken;
    GET ListIndexedRecoveryPoints "/indexes/recovery-point/" ?
        "nextToken" => NextToken, "maxResults" => MaxResults,
        "sourceResourceArn" => SourceResourceArn, "createdBefore" => CreatedBefore,
        "createdAfter" => CreatedAfter, "resourceType" => ResourceType,
        "indexStatus" => IndexStatus;
    GET ListLegalHolds "/legal-holds/" ?
        "nextToken" => NextToken, "maxResults" => MaxResults;
    GET ListProtectedResources "/resources/" ?
        "nextToken" => NextToken, "maxResults" => MaxResults;
    GET ListProtectedResourcesByBackupVault "/backup-vaults/{BackupVaultName}/resources/" ?
        "backupVaultAccountId" => BackupVaultAccountId, "nextToken" => NextToken,
        "maxResults" => MaxResults;
    GET ListRecoveryPointsByBackupVault "/backup-vaults/{BackupVaultName}/recovery-points/" ?
        "backupVaultAccountId" => BackupVaultAccountId, "nextToken" => NextToken,
        "maxResults" => MaxResults, "resourceArn" => ByResourceArn,
        "resourceType" => ByResourceType, "backupPlanId" => ByBackupPlanId,
        "createdBefore" => ByCreatedBefore, "createdAfter" => ByCreatedAfter,
        "parentRecoveryPointArn" => ByParentRecoveryPointArn;
    GET ListRecoveryPointsByLegalHold "/legal-holds/{LegalHoldId}/recovery-points" ?
        "nextToken" => NextToken, "maxResults" => MaxResults;
    GET ListRecoveryPointsByResource "/resources/{ResourceArn}/recovery-points/" ?
        "nextToken" => NextToken, "maxResults" => MaxResults,
        "managedByAWSBackupOnly" => ManagedByAWSBackupOnly;
    GET ListReportJobs "/audit/report-jobs" ?
        "ReportPlanName" => ByReportPlanName, "CreationBefore" => ByCreationBefore,
        "CreationAfter" => ByCreationAfter, "Status" => ByStatus, "MaxResults" => MaxResults,
        "NextToken" => NextToken;
    GET ListReportPlans "/audit/report-plans" ?
        "MaxResults" => MaxResults, "NextToken" => NextToken;
    GET ListRestoreAccessBackupVaults "/logically-air-gapped-backup-vaults/{BackupVaultName}/restore-access-backup-vaults/" ?
        "nextToken" => NextToken, "maxResults" => MaxResults;
    GET ListRestoreJobSummaries "/audit/restore-job-summaries" ?
        "AccountId" => AccountId, "State" => State, "ResourceType" => ResourceType,
        "AggregationPeriod" => AggregationPeriod, "MaxResults" => MaxResults,
        "NextToken" => NextToken;
    GET ListRestoreJobs "/restore-jobs/" ?
        "nextToken" => NextToken, "maxResults" => MaxResults, "accountId" => ByAccountId,
        "resourceType" => ByResourceType, "createdBefore" => ByCreatedBefore,
        "createdAfter" => ByCreatedAfter, "status" => ByStatus,
        "completeBefore" => ByCompleteBefore, "completeAfter" => ByCompleteAfter,
        "restoreTestingPlanArn" => ByRestoreTestingPlanArn, "parentJobId" => ByParentJobId;
    GET ListRestoreJobsByProtectedResource "/resources/{ResourceArn}/restore-jobs/" ?
        "status" => ByStatus, "recoveryPointCreationDateAfter" => ByRecoveryPointCreationDateAfter,
        "recoveryPointCreationDateBefore" => ByRecoveryPointCreationDateBefore,
        "nextToken" => NextToken, "maxResults" => MaxResults;
    GET ListRestoreTestingPlans "/restore-testing/plans" ?
        "MaxResults" => MaxResults, "NextToken" => NextToken;
    GET ListRestoreTestingSelections "/restore-testing/plans/{RestoreTestingPlanName}/selections" ?
        "MaxResults" => MaxResults, "NextToken" => NextToken;
    GET ListScanJobSummaries "/audit/scan-job-summaries" ?
        "AccountId" => AccountId, "ResourceType" => ResourceType,
        "MalwareScanner" => MalwareScanner, "ScanResultStatus" => ScanResultStatus,
        "State" => State, "AggregationPeriod" => AggregationPeriod, "MaxResults" => MaxResults,
        "NextToken" => NextToken;
    GET ListScanJobs "/scan/jobs" ?
        "ByAccountId" => ByAccountId, "ByBackupVaultName" => ByBackupVaultName,
        "ByCompleteAfter" => ByCompleteAfter, "ByCompleteBefore" => ByCompleteBefore,
        "ByMalwareScanner" => ByMalwareScanner, "ByRecoveryPointArn" => ByRecoveryPointArn,
        "ByResourceArn" => ByResourceArn, "ByResourceType" => ByResourceType,
        "ByScanResultStatus" => ByScanResultStatus, "ByState" => ByState,
        "MaxResults" => MaxResults, "NextToken" => NextToken;
    GET ListTags "/tags/{ResourceArn}/" ?
        "nextToken" => NextToken, "maxResults" => MaxResults;
    GET ListTieringConfigurations "/tiering-configurations/" ?
        "maxResults" => MaxResults, "nextToken" => NextToken;
    PUT PutBackupVaultAccessPolicy "/backup-vaults/{BackupVaultName}/access-policy";
    PUT PutBackupVaultLockConfiguration "/backup-vaults/{BackupVaultName}/vault-lock";
    PUT PutBackupVaultNotifications "/backup-vaults/{BackupVaultName}/notification-configuration";
    PUT PutRestoreValidationResult "/restore-jobs/{RestoreJobId}/validations" 204;
    DELETE RevokeRestoreAccessBackupVault "/logically-air-gapped-backup-vaults/{BackupVaultName}/restore-access-backup-vaults/{RestoreAccessBackupVaultArn}" ?
        "requesterComment" => RequesterComment;
    PUT StartBackupJob "/backup-jobs";
    PUT StartCopyJob "/copy-jobs";
    POST StartReportJob "/audit/report-jobs/{ReportPlanName}";
    PUT StartRestoreJob "/restore-jobs";
    PUT StartScanJob "/scan/job" 201;
    POST StopBackupJob "/backup-jobs/{BackupJobId}";
    POST TagResource "/tags/{ResourceArn}";
    POST UntagResource "/untag/{ResourceArn}";
    POST UpdateBackupPlan "/backup/plans/{BackupPlanId}";
    PUT UpdateFramework "/audit/frameworks/{FrameworkName}";
    PUT UpdateGlobalSettings "/global-settings";
    POST UpdateRecoveryPointIndexSettings "/backup-vaults/{BackupVaultName}/recovery-points/{RecoveryPointArn}/index";
    POST UpdateRecoveryPointLifecycle "/backup-vaults/{BackupVaultName}/recovery-points/{RecoveryPointArn}";
    PUT UpdateRegionSettings "/account-settings";
    PUT UpdateReportPlan "/audit/report-plans/{ReportPlanName}";
    PUT UpdateRestoreTestingPlan "/restore-testing/plans/{RestoreTestingPlanName}";
    PUT UpdateRestoreTestingSelection "/restore-testing/plans/{RestoreTestingPlanName}/selections/{RestoreTestingSelectionName}";
    PUT UpdateTieringConfiguration "/tiering-configurations/{TieringConfigurationName}";
}

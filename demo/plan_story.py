"""The demo's last story: a backup plan copies to the second region, and a drill proves there that it can be restored.

The plan is a file. The drill's receipt is signed, and is checked with nothing but its public key.
"""
import json
import subprocess

from snapferry_tools import running

WAIT_SECONDS = 300
ROLE = "arn:aws:iam::000000000000:role/backup"
PLANS = """
[[Vaults]]
BackupVaultName = "near"

[[Plans]]
BackupPlanName = "production"
[[Plans.Rules]]
RuleName = "night"
TargetBackupVaultName = "near"
ScheduleExpression = "cron(0 3 * * ? *)"
Lifecycle = {{ DeleteAfterDays = 7 }}
CopyActions = [{{ DestinationBackupVaultArn = "{far_vault}", Lifecycle = {{ DeleteAfterDays = 35 }} }}]
[[Plans.Selections]]
SelectionName = "shop"
IamRoleArn = "{role}"
Resources = ["{cluster}"]
"""
DRILLS = """
[[RestoreTestingPlans]]
RestoreTestingPlanName = "weekly"
ScheduleExpression = "cron(0 6 ? * SUN *)"
RecoveryPointSelection = {{ Algorithm = "LATEST_WITHIN_WINDOW", IncludeVaults = ["{far_vault}"], RecoveryPointTypes = ["SNAPSHOT"] }}
[[RestoreTestingPlans.Selections]]
RestoreTestingSelectionName = "all"
ProtectedResourceType = "Aurora"
IamRoleArn = "{role}"
ProtectedResourceArns = ["*"]
[RestoreTestingPlans.Selections.RestoreMetadataOverrides]
"snapferry:builtin" = "amcheck,checksums"
"snapferry:checks" = '''{checks}'''
"""


class Verbs:
    """The command line, as the owner in a region."""

    def __init__(self, demo, region):
        keys = demo.sessions["000000000000"].get_credentials()
        self.demo = demo
        self.environment = running.clean_environment(
            AWS_ENDPOINT_URL=demo.server.url, AWS_REGION=region, AWS_ACCESS_KEY_ID=keys.access_key, AWS_SECRET_ACCESS_KEY=keys.secret_key)

    def __call__(self, *words):
        done = subprocess.run([self.demo.options.binary, *words], check=False, capture_output=True, text=True, timeout=120, env=self.environment)
        if done.returncode != 0:
            raise self.demo.failed(f"snapferry {' '.join(map(str, words))}: {done.stdout}{done.stderr}")
        return done.stdout


def back_up(demo, cluster, key, near, far):
    """The plan, made of a file and run once: a recovery point, and its copy under another key in the other region."""
    backup, there = demo.client("backup", near), demo.client("backup", far)
    verbs, file = Verbs(demo, near), demo.options.folder / "plans.toml"
    with demo.table.step("apply a file of backup plans") as step:
        vault = there.create_backup_vault(BackupVaultName="far", EncryptionKeyArn=key)["BackupVaultArn"]
        file.write_text(PLANS.format(far_vault=vault, role=ROLE, cluster=cluster["DBClusterArn"]), encoding="utf-8")
        step.note = verbs("plan", "apply", file).splitlines()[-1]
    with demo.table.step(f"run its plan, which copies to {far}") as step:
        (job,) = json.loads(verbs("plan", "run", "production", "--json"))

        def copied():
            copies = backup.list_copy_jobs()["CopyJobs"]
            copy = next((one for one in copies if one.get("CreatedByBackupJobId") == job["BackupJobId"]), None)
            failed = backup.describe_backup_job(BackupJobId=job["BackupJobId"])["State"] in ("FAILED", "EXPIRED", "ABORTED")
            if failed or copy and copy["State"] == "FAILED":
                raise demo.failed(f"the plan's backup or copy failed: {copy}")
            return copy if copy and copy["State"] == "COMPLETED" else None

        copy = running.wait_until(copied, WAIT_SECONDS, "the plan's copy is there", every=0.2)
        point = there.describe_recovery_point(BackupVaultName="far", RecoveryPointArn=copy["DestinationRecoveryPointArn"])
        if point["EncryptionKeyArn"] != key:
            raise demo.failed(f"the copy is not sealed under {key}")
        step.note = "a recovery point there, under that vault's key"
    return vault


def drill(demo, vault, far, scale):
    """Restores the copy for a test, with a check in SQL, and has the signed receipt checked."""
    verbs, folder = Verbs(demo, far), demo.options.folder
    rows = 100_000 * scale
    checks = [{"name": "accounts", "database": "bench", "sql": "select count(*) from pgbench_accounts", "expect": rows}]
    with demo.table.step("restore it for a test, with checks in SQL") as step:
        file = folder / "drills.toml"
        file.write_text(DRILLS.format(far_vault=vault, role=ROLE, checks=json.dumps(checks)), encoding="utf-8")
        verbs("plan", "apply", file)
        (begun,) = json.loads(verbs("drill", "run", "weekly", "--json"))

        def over():
            shown = json.loads(verbs("drill", "show", begun["DrillIdentifier"], "--json"))
            step.bar.show({"waiting": 0, "restoring": 25, "checking": 50, "held": 75, "deleting": 75, "over": 100}[shown["Status"]], shown["Status"])
            return shown if shown["Status"] == "over" else None

        shown = running.wait_until(over, WAIT_SECONDS, "the drill is over", every=0.5)
        wrong = [check for check in shown["Checks"] if not check["Passed"]]
        if shown["Outcome"] != "SUCCESSFUL" or wrong or "accounts" not in [check["Name"] for check in shown["Checks"]]:
            raise demo.failed(f"the drill found {shown.get('OutcomeMessage')}")
        step.note = f"{len(shown['Checks'])} checks passed; restored in {shown['RestoreSeconds']:.1f} s, and deleted again"
    with demo.table.step("check its signed receipt, without the server") as step:
        receipt, key = folder / "receipt.json", folder / "receipts.pem"
        receipt.write_text(verbs("receipt", "export", begun["DrillIdentifier"]), encoding="utf-8")
        key.write_text(demo.server.run("receipt", "key"), encoding="utf-8")
        told = verbs("receipt", "verify", receipt, "--key", key)
        if not told.startswith("Genuine"):
            raise demo.failed(f"the receipt was not found to be genuine: {told}")
        step.note = told.splitlines()[0].rstrip(".")[:60]


def tell(demo, cluster, keys, near, far):
    """The whole story."""
    vault = back_up(demo, cluster, keys["far"], near, far)
    drill(demo, vault, far, demo.options.scale)

// A cluster's life by the AWS SDK for JavaScript: made, snapshotted, copied, listed, deleted, with the
// SDK's own waiters and pages, and its classes of faults. Prints what it saw as JSON.
//
// Usage: node clusters.mjs ENDPOINT REGION NAME
// The SDK is found in the folder that SDK in the environment names.
import { createRequire } from "node:module";

const sdk = createRequire(`${process.env.SDK}/x.js`)("@aws-sdk/client-rds");
const [endpoint, region, name] = process.argv.slice(2);
const client = new sdk.RDSClient({ endpoint, region, maxAttempts: 1 });
const send = (command, input) => client.send(new sdk[`${command}Command`](input));
const waits = { client, minDelay: 1, maxDelay: 1, maxWaitTime: 120 };

// The class of the fault that a call ends with, if the SDK has it as a class of its own.
const fault = async (command, input) => {
  try {
    await send(command, input);
    return null;
  } catch (error) {
    const known = sdk[error.name];
    return { name: error.name, isItsClass: Boolean(known) && error instanceof known, status: error.$metadata.httpStatusCode };
  }
};

const cluster = { DBClusterIdentifier: name, Engine: "aurora-postgresql", MasterUsername: "ferryman" };
const snapshot = `${name}-snapshot`;
const copy = `${name}-copy`;
const seen = {};
const made = await send("CreateDBCluster", { ...cluster, ManageMasterUserPassword: true });
seen.created = made.DBCluster.Status;
seen.waited = (await sdk.waitUntilDBClusterAvailable(waits, { DBClusterIdentifier: name })).state;
seen.again = await fault("CreateDBCluster", { ...cluster, MasterUserPassword: "correct-horse-7" });
await send("CreateDBClusterSnapshot", { DBClusterIdentifier: name, DBClusterSnapshotIdentifier: snapshot });
seen.snapshot = (await sdk.waitUntilDBClusterSnapshotAvailable(waits, { DBClusterSnapshotIdentifier: snapshot })).state;
const copied = await send("CopyDBClusterSnapshot", {
  SourceDBClusterSnapshotIdentifier: snapshot,
  TargetDBClusterSnapshotIdentifier: copy,
  Tags: [{ Key: "by", Value: "javascript" }],
});
seen.copied = { status: copied.DBClusterSnapshot.Status, tags: copied.DBClusterSnapshot.TagList };
seen.listed = [];
for await (const page of sdk.paginateDescribeDBClusterSnapshots({ client, pageSize: 20 }, { DBClusterIdentifier: name })) {
  seen.listed.push(...page.DBClusterSnapshots.map((one) => one.DBClusterSnapshotIdentifier));
}
seen.missing = await fault("DeleteDBClusterSnapshot", { DBClusterSnapshotIdentifier: `${name}-not-there` });
seen.twice = await fault("CopyDBClusterSnapshot", {
  SourceDBClusterSnapshotIdentifier: snapshot, TargetDBClusterSnapshotIdentifier: copy,
});
for (const one of [snapshot, copy]) await send("DeleteDBClusterSnapshot", { DBClusterSnapshotIdentifier: one });
await send("DeleteDBCluster", { DBClusterIdentifier: name, SkipFinalSnapshot: true });
seen.deleted = (await sdk.waitUntilDBClusterDeleted(waits, { DBClusterIdentifier: name })).state;
seen.gone = await fault("DescribeDBClusters", { DBClusterIdentifier: name });
console.log(JSON.stringify(seen));

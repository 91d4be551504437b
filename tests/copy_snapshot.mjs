// Copies a snapshot with the AWS SDK for JavaScript and prints what was sent and answered.
//
// Usage: node copy_snapshot.mjs ENDPOINT REGION COPY-REQUEST-AS-JSON [CHANGE]
// CHANGE replaces text in the PreSignedUrl before the request is signed: FROM=>TO.
// The SDK is found through NODE_PATH's folder, given as SDK in the environment.
import { createRequire } from "node:module";

const { RDSClient, CopyDBClusterSnapshotCommand } = createRequire(`${process.env.SDK}/x.js`)("@aws-sdk/client-rds");
const [endpoint, region, request, change] = process.argv.slice(2);
const client = new RDSClient({ endpoint, region, maxAttempts: 1 });
let body = "";
client.middlewareStack.add(
  (next) => (args) => {
    if (change) {
      const [from, to] = change.split("=>");
      const form = new URLSearchParams(args.request.body);
      form.set("PreSignedUrl", form.get("PreSignedUrl").replace(from, to));
      args.request.body = form.toString();
      args.request.headers["content-length"] = String(Buffer.byteLength(args.request.body));
    }
    body = args.request.body;
    return next(args);
  },
  { step: "build", priority: "low" },
);
const said = { code: null, message: null, status: null };
try {
  const answer = await client.send(new CopyDBClusterSnapshotCommand(JSON.parse(request)));
  said.status = answer.DBClusterSnapshot.Status;
} catch (error) {
  said.code = error.Code ?? error.name;
  said.message = error.message;
}
console.log(JSON.stringify({ ...said, url: new URLSearchParams(body).get("PreSignedUrl") }));

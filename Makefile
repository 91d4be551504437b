# Snapferry's commands. Each is a small script under scripts/; `make` lists them.
.DEFAULT_GOAL := help
.PHONY: attack audit deb dist test-packages test-console test-ops tools help setup build demo cluster-demo clean-demo test test-rust test-clients lint fmt doc bench bench-api bench-nodes bench-link bench-micro bench-sparse bench-start bench-ready bench-maps bench-wal bench-console bench-scrape bench-idle bench-model bench-mysql soak soak-nodes

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing (PostgreSQL, a C compiler, Python clients); needs root or sudo
	@scripts/setup

build: ## Build target/release/snapferry
	cargo build --locked --release -p snapferry

demo: ## Set up, build and run the main job end to end, with proof (DEMO_ARGS="--scale 5" for a small one)
	@scripts/demo $(DEMO_ARGS)

cluster-demo: ## Two regions of two nodes, PostgreSQL and S3: a copy meets a cut link, a frozen node, killed nodes and a killed PostgreSQL (DEMO_ARGS="--loopback")
	@scripts/cluster-demo $(DEMO_ARGS)

clean-demo: ## Remove what the demo left
	@scripts/clean-demo

test: ## Set up and run every check and test
	@scripts/test

test-rust: ## Only the Rust tests
	@scripts/test rust

test-clients: ## Only the client tests: boto3, AWS CLI, curl (PYTEST_ARGS="-k copy" picks some; TEST_PROCESSES=1 runs all in one)
	@scripts/test clients $(PYTEST_ARGS)

attack: ## Strangers, tenants and unlucky operators against the release binary; prints memory, descriptors, others' latency (PYTEST_ARGS="-k flood")
	@scripts/test attack $(PYTEST_ARGS)

test-console: ## The console in Debian's Chromium: by mouse, by keyboard, without scripts, axe (installs Chromium, and Playwright into .venv-console; PICTURES=docs/images keeps pictures)
	@CONSOLE_PICTURES=$(PICTURES) scripts/test console $(PYTEST_ARGS)

test-ops: ## Alerts fire and do not, dashboards have data: with Prometheus itself (fetches Debian's package into .prometheus, 19 MB; no service)
	@scripts/test ops $(PYTEST_ARGS)

tools: ## Tools as they are, against this server: an Ansible playbook, twice; the SDK for JavaScript (installs Ansible into .venv-tools, the SDK into .test)
	@scripts/test tools $(PYTEST_ARGS)

bench-model: ## A million snapshots in one catalog, and what 10 PB would cost; writes docs/benchmarks/model.md (BENCH_ARGS="--sizes 10000" for a look)
	@scripts/bench-model $(BENCH_ARGS)

bench-mysql: ## Dump under four writers, next dump and load of a MySQL cluster of 400 MB beside cp of its files
	SNAPFERRY_MYSQL_ROWS=1300000 cargo test --locked --release -p engine --test mysql figures -- --nocapture

soak: ## Longer property tests, more seeds of a failing bucket, dumps under churn, fuzzing of the JSON door, disks lost under load (SOAK_CASES=5000 SOAK_SEEDS=200 SOAK_SNAPSHOTS=300 SOAK_EXAMPLES=300 SOAK_ROUNDS=100)
	@scripts/soak

soak-nodes: ## Kill and freeze nodes, the database and the S3 server at random (ROUNDS=200), and check what was acknowledged
	SOAK_ROUNDS=$(or $(ROUNDS),200) scripts/test clients tests/test_kills.py -s
	SOAK_ROUNDS=$(or $(ROUNDS),200) scripts/test clients tests/test_members.py -m long -s
	SOAK_ROUNDS=$(or $(ROUNDS),200) scripts/test clients tests/test_zones.py -m long -s
	SOAK_ROUNDS=$(or $(ROUNDS),200) scripts/test clients tests/test_cut_off.py -m long -s

lint: ## Format check, clippy, the allowed directions between crates, names in the documents
	@scripts/test lint

deb: ## A package for Debian 12 in target/debian: binary, units, settings, man pages, completions (DEB_ARGS=--no-build takes the binary that is there)
	@scripts/deb $(DEB_ARGS)

dist: ## A tar of binary, units, man pages and completions in target/dist, with its list of components and SHA256SUMS (MINISIGN_KEY=FILE signs them; after that, DIST_ARGS=--check makes it again elsewhere and compares)
	@scripts/dist $(DIST_ARGS)

test-packages: ## Packages of the release binary that is there, in a bare Debian 12 under its own systemd; lintian (root; some minutes)
	@scripts/test-packages

audit: ## Licences, sources and versions of all dependencies, and known faults of them where their list can be fetched (cargo-deny)
	@scripts/audit

fmt: ## Format the Rust code
	cargo fmt --all

doc: ## Build the API documentation; warnings are errors
	@scripts/test doc

bench: ## Snapshots, copies, restores beside other tools; writes docs/benchmarks/storage.md (BENCH_ARGS="--scale 5 --rounds 1" for a look)
	@scripts/bench $(BENCH_ARGS)

bench-api: ## The API beside moto's server; writes docs/benchmarks/api.md (BENCH_ARGS="--only copy --rounds 1" for a look)
	@scripts/bench-api $(BENCH_ARGS)

bench-nodes: ## Copies and describes with 1, 2 and 4 nodes on one PostgreSQL; writes docs/benchmarks/nodes.md (BENCH_ARGS="--rounds 1" for a look)
	@scripts/bench-nodes $(BENCH_ARGS)

bench-link: ## Copies between two deployments beside curl, with and without a long wire; writes docs/benchmarks/link.md (BENCH_ARGS="--rounds 1")
	@scripts/bench-link $(BENCH_ARGS)

bench-micro: ## Time the hot paths: block id, frame, page checksum, signature, Query, XML (BENCH_ARGS="--seconds 0.2")
	cargo run --locked --quiet --release -p bench -- micro $(BENCH_ARGS)

bench-sparse: ## What thresholds for leaving sparse packs keep, write and cost (BENCH_ARGS="--mib 64 --snapshots 40" for a look)
	@scripts/bench-sparse $(BENCH_ARGS)

bench-idle: ## Memory of idle clusters, 10 and then 50; writes docs/benchmarks/idle.md (BENCH_ARGS="--counts 10")
	@scripts/bench-idle $(BENCH_ARGS)

bench-maps: ## Next snapshots with change maps and without, at two sizes; writes docs/benchmarks/maps.md (BENCH_ARGS="--scale 5 --rounds 1" for a look)
	@scripts/bench-maps $(BENCH_ARGS)

bench-wal: ## How a cluster's log gets to the vault, and a restore to a time, beside pgBackRest's archive; writes docs/benchmarks/wal.md (BENCH_ARGS="--rounds 1" for a look)
	@scripts/bench-wal $(BENCH_ARGS)

bench-console: ## What the console's pages cost with 100,000 snapshots; writes docs/benchmarks/console.md
	@scripts/bench-console $(BENCH_ARGS)

bench-scrape: ## What a scrape of /metrics costs with 2,000 clusters; writes docs/benchmarks/scrape.md
	@scripts/bench-scrape $(BENCH_ARGS)

bench-ready: ## Time until a new cluster is ready, with one server and Multi-AZ; writes docs/benchmarks/ready.md (BENCH_ARGS="--rounds 1" for a look)
	@scripts/bench-ready $(BENCH_ARGS)

bench-start: ## Time from exec to the first answer, and idle memory (release build)
	@scripts/bench-start

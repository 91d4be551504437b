//! Runs the real sweep beside the real jobs in every order that a bound of preemptions allows,
//! and in seeded random ones with crashes and late calls, and looks after each step whether a
//! live record still has all that it needs.
//!
//! It does not know how calls are held up, nor what a world is made of.
mod asks;
mod broken;
pub(crate) mod fixture;
mod gate;
mod gated;
pub(super) mod idle;
mod world;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use catalog::{CatalogError, CatalogExt, Tx, conformance::samples, snapshots, tombstones};
use model::Clock;
use tokio::task::JoinHandle;

use self::{
    asks::{ask_for_copy, ask_for_snapshot, delete},
    broken::Broken,
    fixture::{Fixture, GRACE, far, home},
    gate::Late,
    world::{Node, World},
};
use super::Look;
use crate::jobs::{self, runner};

/// Steps of one schedule, far beyond what any needs.
const STEPS_MAX: usize = 2_000;

/// What goes on beside a sweep.
#[derive(Debug, Clone, Copy)]
enum Scene {
    /// A copy arrives where objects of a deleted copy still lie.
    Copy,
    /// A snapshot builds on one that is deleted meanwhile.
    Snapshot,
    /// A copy whose lease runs out while its node still works: another takes it over.
    Takeover,
    /// Someone whom no pin holds reads a snapshot while it is deleted.
    Reader,
}

impl Scene {
    /// Where the sweep goes on.
    fn region(self) -> model::Region {
        match self {
            Self::Copy | Self::Takeover => far(),
            Self::Snapshot | Self::Reader => home(),
        }
    }
}

/// Who acts next: the place of the choice among those possible.
type Choice = usize;

/// One schedule as it was run.
#[derive(Debug, Default)]
struct Ran {
    /// At each step, what was chosen, of how many; 0 is the actor that acted last.
    choices: Vec<(Choice, usize)>,
    steps: Vec<String>,
    broken: Option<String>,
}

/// A small generator whose whole state is the seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

async fn sweeps(
    node: Node,
    region: model::Region,
    volume: model::VolumeRef,
    clock: Arc<fixture::SetClock>,
) {
    let vault = node.context.vaults.get(&region).expect("a vault");
    let headers = vault::Headers::remembering(1 << 20);
    for _ in 0..2 {
        // A store that answers no more is another try's matter.
        let look = Look {
            context: &node.context,
            vault: &vault,
            headers: &headers,
            region: &region,
            volume: &volume,
        };
        let _ = look.take().await;
        // A rule-breaking look lasts one sweep.
        node.seen.lock().expect("no holder panics").clear();
        node.step("a grace goes by").await;
        clock.advance(GRACE + Duration::from_secs(1));
    }
}

async fn works(node: Node, tries: usize) {
    for _ in 0..tries {
        match runner::claim(&node.context, &node.name).await {
            Ok(Some(one)) => {
                if let Err(error) = jobs::registry::run(&one).await {
                    runner::end(&one, error).await;
                }
            }
            Ok(None) => node.step("no job is free").await,
            Err(_) => return,
        }
    }
}

/// Reads all of a snapshot if it is there, as one does that pins nothing.
async fn reads(node: Node, fixture: Arc<Fixture>, seen: world::Reader) {
    let (region, volume) = (home(), fixture.volume.clone());
    let began = fixture.clock.now();
    let of = volume.clone();
    let known = node.context.catalog.read(move |tx| {
        let sample = samples::snapshot("a");
        let found = snapshots::get(tx, &home(), &sample.account, &sample.name)?;
        let absent = tombstones::list(tx, &home(), &format!("volumes/{of}/"))?;
        Ok::<_, CatalogError>((found.and_then(|found| found.value.content), absent))
    });
    let Ok((Some(content), absent)) = known.await else {
        return;
    };
    let vault = node.context.vaults.get(&region).expect("a vault");
    let manifest = content.manifest;
    let read =
        vault::conformance::verify_manifest(&vault, &volume, manifest, &absent, &vault::Unobserved)
            .await;
    let deleted = *seen.deleted_at.lock().expect("no holder panics");
    if let Err(error) = read
        && deleted.is_none_or(|at| at.since(began) < GRACE)
    {
        *seen.missed.lock().expect("no holder panics") = Some(format!("a reader: {error}"));
    }
}

fn begin(scene: Scene, fixture: &Arc<Fixture>, world: &World) -> Vec<JoinHandle<()>> {
    let (region, broken) = (scene.region(), world.broken);
    world.lay(&home(), 0);
    world.record(&home(), "a", 0);
    if region == far() {
        world.lay(&far(), 0);
    }
    let (volume, clock) = (fixture.volume.clone(), fixture.clock.clone());
    let sweeper = world.node(0, "sweeper", false);
    let spawn = &fixture.runtime;
    let mut tasks = vec![spawn.spawn(sweeps(sweeper, region, volume, clock))];
    match scene {
        Scene::Copy | Scene::Takeover => {
            // Alone, its second try is that of a node which takes over.
            let tries = if matches!(scene, Scene::Copy) { 2 } else { 1 };
            let worker = world.node(1, "worker", false);
            tasks.push(spawn.spawn(async move {
                let ask = move |tx: &mut dyn Tx| ask_for_copy(tx, "a", "b", broken);
                worker.context.catalog.write(ask).await.expect("is asked");
                works(worker, tries).await;
            }));
            if matches!(scene, Scene::Takeover) {
                tasks.push(spawn.spawn(works(world.node(2, "heir", false), 3)));
            }
        }
        Scene::Snapshot => {
            let cluster = world.cluster(0);
            let worker = world.node(1, "worker", true);
            tasks.push(spawn.spawn(async move {
                let ask = move |tx: &mut dyn Tx| ask_for_snapshot(tx, &cluster, "b", broken);
                worker.context.catalog.write(ask).await.expect("is asked");
                works(worker, 2).await;
            }));
            tasks.push(spawn.spawn(deletes(world.node(2, "deleter", false))));
        }
        Scene::Reader => {
            tasks.push(spawn.spawn(deletes(world.node(1, "deleter", false))));
            let reader = world.node(2, "reader", false);
            tasks.push(spawn.spawn(reads(reader, fixture.clone(), world.reader.clone())));
        }
    }
    tasks
}

async fn deletes(node: Node) {
    let done = node
        .context
        .catalog
        .write(|tx| delete(tx, &home(), "a"))
        .await;
    done.expect("is deleted");
}

/// Waits until every actor waits at the gate or has ended.
fn settle(world: &World, tasks: &[JoinHandle<()>]) {
    let began = std::time::Instant::now();
    while !tasks
        .iter()
        .enumerate()
        .all(|(actor, task)| task.is_finished() || world.gate.rests(actor))
    {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "an actor neither waits nor ends"
        );
        std::thread::sleep(Duration::from_micros(20));
    }
}

/// Runs one schedule: the given choices first, then always the actor that acted last. With dice,
/// all is thrown, and one actor dies somewhere; what it had sent arrives later.
fn schedule(
    scene: Scene,
    fixture: &Arc<Fixture>,
    broken: Broken,
    given: &[Choice],
    mut dice: Option<Dice>,
) -> Ran {
    let world = World::new(fixture, broken);
    let tasks = begin(scene, fixture, &world);
    let mut ran = Ran::default();
    let mut last = 0;
    let mut dies_at = dice.as_mut().map(|dice| dice.below(80));
    let mut late: Vec<Late> = Vec::new();
    for step in 0..STEPS_MAX {
        settle(&world, &tasks);
        if let Err(error) = world.check() {
            ran.broken = Some(error);
            break;
        }
        let mut waiting = world.gate.waiting();
        if waiting.is_empty() && late.is_empty() {
            break;
        }
        // The one that acted last comes first, so that choice 0 is no preemption.
        waiting.sort_by_key(|(actor, id)| (*actor != last, *actor, *id));
        waiting.dedup_by_key(|(actor, _)| *actor);
        if let Some(dice) = &mut dice {
            if dies_at == Some(step) && !waiting.is_empty() {
                let (actor, _) = waiting[dice.below(waiting.len())];
                late.extend(world.gate.late_of(actor));
                tasks[actor].abort();
                ran.steps.push(format!("{actor} dies"));
                dies_at = None;
                // Its calls leave the gate with it.
                while !tasks[actor].is_finished() {
                    std::thread::sleep(Duration::from_micros(20));
                }
                continue;
            }
            let pick = dice.below(waiting.len() + late.len());
            if waiting.len() <= pick {
                let call = late.swap_remove(pick - waiting.len());
                ran.steps
                    .push(format!("late: {call:?}").chars().take(60).collect());
                world.note(&call);
                fixture.runtime.block_on(call.arrive());
                continue;
            }
            // Mostly straight on, since few changes of the actor show most faults.
            let pick = if dice.below(3) == 0 { pick } else { 0 };
            ran.steps.push(world.grant(waiting[pick]));
            last = waiting[pick].0;
            continue;
        }
        let pick = given.get(step).copied().unwrap_or(0);
        ran.choices.push((pick, waiting.len()));
        ran.steps.push(world.grant(waiting[pick]));
        last = waiting[pick].0;
    }
    for task in &tasks {
        task.abort();
    }
    while !tasks.iter().all(JoinHandle::is_finished) {
        std::thread::sleep(Duration::from_micros(20));
    }
    ran
}

/// Goes through the schedules with at most so many preemptions, those with fewer first, up to a
/// number of them; answers how many were run, how many of them deleted an object, and the first
/// that breaks the rule.
fn explore(
    scene: Scene,
    fixture: &Arc<Fixture>,
    broken: Broken,
    preemptions: usize,
    most: usize,
) -> (usize, usize, Option<Ran>) {
    let mut open = VecDeque::from([Vec::new()]);
    let (mut count, mut deleting) = (0, 0);
    while let Some(given) = open.pop_front() {
        if count == most {
            break;
        }
        count += 1;
        let ran = schedule(scene, fixture, broken, &given, None);
        deleting += usize::from(ran.steps.iter().any(|step| step.contains(" delete ")));
        if ran.broken.is_some() {
            return (count, deleting, Some(ran));
        }
        if given.iter().filter(|choice| **choice != 0).count() < preemptions {
            for step in given.len()..ran.choices.len() {
                for other in 1..ran.choices[step].1 {
                    let mut next = given.clone();
                    next.resize(step, 0);
                    next.push(other);
                    open.push_back(next);
                }
            }
        }
    }
    (count, deleting, None)
}

/// A number from the environment, for longer runs.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn holds(scene: Scene) {
    let fixture = Arc::new(Fixture::new());
    // `make soak` asks for more.
    let more = setting("SWEEP_SCHEDULES");
    let most = more.map_or(120, |more| usize::try_from(more).expect("few"));
    let (count, deleting, found) = explore(scene, &fixture, Broken::Nothing, 2, most);
    assert!(
        found.is_none(),
        "after {count} schedules of {scene:?}: {found:#?}"
    );
    println!("{scene:?}: {deleting} of {count} schedules deleted");
    assert!(
        0 < deleting,
        "no sweep beside {scene:?} deleted anything: nothing was tried"
    );
    let first = setting("SWEEP_SEED").unwrap_or(0x5eed);
    for number in 0..more.unwrap_or(40) {
        let seed = (first + number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let ran = schedule(scene, &fixture, Broken::Nothing, &[], Some(Dice(seed)));
        assert!(
            ran.broken.is_none(),
            "{scene:?}, schedule {number} of SWEEP_SEED={first}: {ran:#?}"
        );
    }
}

/// Looks longer than [`holds`] does.
fn finds(scene: Scene, broken: Broken) {
    let fixture = Arc::new(Fixture::new());
    let (count, _, found) = explore(scene, &fixture, broken, 2, 400);
    let mut thrown = 0_u64;
    let found = found.or_else(|| {
        (1..=200).find_map(|seed: u64| {
            thrown = seed;
            let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let ran = schedule(scene, &fixture, broken, &[], Some(dice));
            ran.broken.is_some().then_some(ran)
        })
    });
    let found =
        found.unwrap_or_else(|| panic!("{count} and {thrown} schedules do not show {broken:?}"));
    println!(
        "{broken:?} shows after {count} schedules and {thrown} random ones: {:?}",
        found.broken
    );
}

#[test]
fn a_copy_beside_a_sweep_keeps_all_it_needs() {
    holds(Scene::Copy);
}

#[test]
fn a_snapshot_beside_a_sweep_keeps_all_it_needs() {
    holds(Scene::Snapshot);
}

#[test]
fn a_copy_that_is_taken_over_beside_a_sweep_keeps_all_it_needs() {
    holds(Scene::Takeover);
}

#[test]
fn a_reader_that_pins_nothing_has_a_grace() {
    holds(Scene::Reader);
}

#[test]
fn a_sweep_that_waits_no_grace_is_found() {
    finds(Scene::Reader, Broken::SweepWaitsNoGrace);
}

#[test]
fn a_name_that_is_used_again_is_found() {
    finds(Scene::Takeover, Broken::NamesAreReused);
}

#[test]
fn a_sweep_that_looks_at_roots_and_jobs_once_is_found() {
    finds(Scene::Copy, Broken::SweepLooksOnce);
}

#[test]
fn a_sweep_that_heeds_no_jobs_is_found() {
    finds(Scene::Copy, Broken::SweepHeedsNoPins);
}

#[test]
fn a_writer_that_takes_condemned_objects_is_found() {
    finds(Scene::Copy, Broken::WritersTakeCondemned);
}

#[test]
fn a_record_before_its_objects_is_found() {
    finds(Scene::Snapshot, Broken::RecordComesFirst);
}

#[test]
fn jobs_that_name_nothing_are_found() {
    finds(Scene::Copy, Broken::JobsPinNothing);
}

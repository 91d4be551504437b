use proptest::prelude::*;

use super::{
    visitor::{At, STRANGERS_REQUESTS_MAX},
    *,
};

const BOUNDS: Bounds = Bounds {
    all: 16,
    strangers: 8,
    address: 4,
    account: 8,
    health: 2,
    leaving: 2,
};

fn address(number: u8) -> IpAddr {
    [10, 0, 0, number].into()
}

fn slots() -> Arc<ConnectionSlots> {
    let proxy = "10.9.0.0/16".parse().expect("a network");
    ConnectionSlots::new(BOUNDS, vec![proxy])
}

/// Whether a connection was told to make room.
fn must_leave(slot: &ConnectionSlot) -> bool {
    let state = slot.visitor.slots.lock();
    state
        .seats
        .get(&slot.visitor.id)
        .is_some_and(|seat| seat.leaving)
}

#[test]
fn a_newcomer_takes_the_place_of_its_own_addresss_idlest() {
    let slots = slots();
    let held: Vec<ConnectionSlot> = (0..4)
        .map(|_| slots.try_enter(address(1)).expect("free"))
        .collect();
    let other = slots.try_enter(address(2)).expect("free");
    // The first is used again, so the second has been idle longest.
    drop(held[0].visitor.begin());
    let newcomer = slots.try_enter(address(1)).expect("room is made");
    assert_eq!(newcomer.visitor.group(), Group::Stranger(address(1)));
    let leaving: Vec<bool> = held.iter().map(must_leave).collect();
    assert_eq!(leaving, [false, true, false, false]);
    assert!(!must_leave(&other));
}

#[test]
fn who_is_being_answered_stays_and_health_checks_still_get_in() {
    let slots = slots();
    let held: Vec<ConnectionSlot> = (0..4)
        .map(|_| slots.try_enter(address(1)).expect("free"))
        .collect();
    let mut stages: Vec<Stage> = held.iter().map(|slot| slot.visitor.begin()).collect();
    stages.iter_mut().for_each(Stage::answering);
    let check = slots.try_enter(address(1)).expect("a slot is kept");
    assert_eq!(check.visitor.group(), Group::Health);
    // Whoever waits for its client makes room after those that are idle.
    stages[2].sending();
    let newcomer = slots.try_enter(address(1)).expect("room is made");
    assert_eq!(newcomer.visitor.group(), Group::Stranger(address(1)));
    assert!(must_leave(&held[2]) && !must_leave(&held[0]));
}

#[test]
fn a_stranger_has_few_requests_at_once_on_a_connection() {
    let slots = slots();
    let slot = slots.try_enter(address(1)).expect("free");
    let stages: Vec<Stage> = (0..STRANGERS_REQUESTS_MAX)
        .map(|_| slot.visitor.begin())
        .collect();
    assert!(!slot.visitor.overdoes());
    let more = slot.visitor.begin();
    assert!(slot.visitor.overdoes());
    slot.visitor.prove("111122223333");
    assert!(!slot.visitor.overdoes());
    drop((stages, more));
    assert_eq!(slot.activity(), (u64::from(STRANGERS_REQUESTS_MAX) + 1, 0));
}

#[test]
fn health_checks_make_room_for_each_other() {
    let slots = slots();
    let held: Vec<ConnectionSlot> = (0..4)
        .map(|_| slots.try_enter(address(1)).expect("free"))
        .collect();
    let mut stages: Vec<Stage> = held.iter().map(|slot| slot.visitor.begin()).collect();
    stages.iter_mut().for_each(Stage::answering);
    let mut checks: Vec<ConnectionSlot> = (0..2)
        .map(|_| slots.try_enter(address(1)).expect("kept"))
        .collect();
    assert!(
        slots.try_enter(address(1)).is_none(),
        "not before one has left"
    );
    assert!(must_leave(&checks[0]) && !must_leave(&checks[1]));
    checks.remove(0);
    assert!(slots.try_enter(address(1)).is_some());
}

#[test]
fn strangers_leave_places_to_those_who_proved_a_key() {
    let slots = slots();
    let mut strangers: Vec<ConnectionSlot> = (0..2)
        .flat_map(|host| (0..4).map(move |_| address(host)))
        .map(|from| slots.try_enter(from).expect("free"))
        .collect();
    let known = slots.try_enter(address(7)).expect("room is made");
    assert_eq!(strangers.iter().filter(|slot| must_leave(slot)).count(), 1);
    known.visitor.prove("111122223333");
    assert_eq!(known.visitor.group(), Group::Proved("111122223333".into()));
    for _ in 0..20 {
        strangers.retain(|slot| !must_leave(slot));
        drop(slots.try_enter(address(8)).expect("room is made"));
    }
    assert!(!must_leave(&known));
}

#[test]
fn a_flood_waits_until_those_it_displaced_have_left() {
    let slots = slots();
    let mut held: Vec<ConnectionSlot> = (0..20)
        .filter_map(|_| slots.try_enter(address(1)))
        .collect();
    assert_eq!(held.len(), BOUNDS.address + BOUNDS.leaving);
    assert!(slots.try_enter(address(2)).is_some(), "others do not wait");
    held.retain(|slot| !must_leave(slot));
    assert!(slots.try_enter(address(1)).is_some());
}

#[test]
fn an_account_keeps_to_its_share() {
    let slots = slots();
    let mut held = Vec::new();
    for number in 0..12 {
        let slot = slots.try_enter(address(number)).expect("free");
        slot.visitor.prove("111122223333");
        held.push(slot);
    }
    let leaving: Vec<usize> = (0..12).filter(|at| must_leave(&held[*at])).collect();
    assert_eq!(leaving, [0, 1, 2, 3]);
}

#[test]
fn a_proxy_has_no_share_of_its_own_and_ipv6_counts_by_network() {
    let slots = slots();
    let proxied: Vec<Option<ConnectionSlot>> = (0..16)
        .map(|_| slots.try_enter([10, 9, 1, 1].into()))
        .collect();
    assert!(proxied.iter().all(Option::is_some));
    drop(proxied);
    let six = |text: &str| text.parse::<IpAddr>().expect("an address");
    let held: Vec<Option<ConnectionSlot>> = (1..=4)
        .map(|host| slots.try_enter(six(&format!("2001:db8::{host}"))))
        .collect();
    let fifth = slots.try_enter(six("2001:db8::ffff:5"));
    assert!(fifth.is_some() && must_leave(held[0].as_ref().expect("free")));
    assert_eq!(prefix(six("2001:db8:0:1::7")), six("2001:db8:0:1::"));
    let mapped = slots.try_enter(six("::ffff:10.0.0.1")).expect("free");
    assert_eq!(mapped.visitor.group(), Group::Stranger(address(1)));
}

#[derive(Debug, Clone)]
enum Step {
    Enter(u8),
    Leave(prop::sample::Index),
    Begin(prop::sample::Index),
    Advance(prop::sample::Index),
    End(prop::sample::Index),
    Prove(prop::sample::Index, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (0..6_u8).prop_map(Step::Enter),
        1 => at().prop_map(Step::Leave),
        2 => at().prop_map(Step::Begin),
        2 => at().prop_map(Step::Advance),
        1 => at().prop_map(Step::End),
        2 => (at(), 0..3_u8).prop_map(|(at, account)| Step::Prove(at, account)),
    ]
}

proptest! {
    #[test]
    fn no_bound_is_passed_and_no_place_is_lost(steps in proptest::collection::vec(step(), 0..300)) {
        let slots = slots();
        let (mut held, mut stages) = (Vec::<ConnectionSlot>::new(), Vec::<Stage>::new());
        for step in steps {
            match step {
                Step::Enter(host) => held.extend(slots.try_enter(address(host))),
                Step::Leave(at) if !held.is_empty() => drop(held.swap_remove(at.index(held.len()))),
                Step::Begin(at) if !held.is_empty() => stages.push(held[at.index(held.len())].visitor.begin()),
                Step::Advance(at) if !stages.is_empty() => {
                    let at = at.index(stages.len());
                    let stage = &mut stages[at];
                    if stage.at == At::Reading { stage.answering() } else { stage.sending() }
                }
                Step::End(at) if !stages.is_empty() => drop(stages.swap_remove(at.index(stages.len()))),
                Step::Prove(at, account) if !held.is_empty() => held[at.index(held.len())].visitor.prove(&account.to_string()),
                _ => {}
            }
            // Those who must leave do, now and then.
            if held.len() % 3 == 0 {
                held.retain(|slot| !must_leave(slot));
            }
            let state = slots.lock();
            prop_assert_eq!(state.seats.len(), held.len());
            prop_assert!(held.len() <= BOUNDS.all + BOUNDS.health);
            prop_assert!(state.strangers() <= BOUNDS.strangers);
            for (group, count) in &state.staying {
                let staying = state.seats.values().filter(|seat| !seat.leaving && seat.group == *group).count();
                prop_assert_eq!(*count, staying);
                let bound = match group {
                    Group::Stranger(_) => BOUNDS.address,
                    Group::Proved(_) => BOUNDS.account,
                    Group::Proxy => BOUNDS.all,
                    Group::Health => BOUNDS.health,
                };
                prop_assert!(*count <= bound);
            }
        }
        drop(stages);
        prop_assert!(slots.lock().seats.values().all(|seat| seat.reading + seat.answering + seat.sending == 0));
        drop(held);
        let state = slots.lock();
        prop_assert!(state.seats.is_empty() && state.staying.is_empty());
    }
}

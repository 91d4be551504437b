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
};

fn address(number: u8) -> IpAddr {
    [10, 0, 0, number].into()
}

fn places() -> Arc<Places> {
    let proxy = "10.9.0.0/16".parse().expect("a network");
    Places::new(BOUNDS, vec![proxy])
}

/// Whether a connection was told to make room.
fn must_leave(place: &Place) -> bool {
    let state = place.visitor.places.lock();
    state
        .seats
        .get(&place.visitor.id)
        .is_some_and(|seat| seat.leaving)
}

#[test]
fn a_newcomer_takes_the_place_of_its_own_addresss_idlest() {
    let places = places();
    let held: Vec<Place> = (0..4)
        .map(|_| places.try_enter(address(1)).expect("free"))
        .collect();
    let other = places.try_enter(address(2)).expect("free");
    // The first is used again, so the second has been idle longest.
    drop(held[0].visitor.begin());
    let newcomer = places.try_enter(address(1)).expect("room is made");
    assert_eq!(newcomer.visitor.group(), Group::Stranger(address(1)));
    let leaving: Vec<bool> = held.iter().map(must_leave).collect();
    assert_eq!(leaving, [false, true, false, false]);
    assert!(!must_leave(&other));
}

#[test]
fn who_is_being_answered_stays_and_health_checks_still_get_in() {
    let places = places();
    let held: Vec<Place> = (0..4)
        .map(|_| places.try_enter(address(1)).expect("free"))
        .collect();
    let mut stages: Vec<Stage> = held.iter().map(|place| place.visitor.begin()).collect();
    stages.iter_mut().for_each(Stage::answering);
    let check = places.try_enter(address(1)).expect("a place is kept");
    assert_eq!(check.visitor.group(), Group::Health);
    // Whoever waits for its client makes room after those that are idle.
    stages[2].sending();
    let newcomer = places.try_enter(address(1)).expect("room is made");
    assert_eq!(newcomer.visitor.group(), Group::Stranger(address(1)));
    assert!(must_leave(&held[2]) && !must_leave(&held[0]));
}

#[test]
fn a_stranger_has_few_requests_at_once_on_a_connection() {
    let places = places();
    let place = places.try_enter(address(1)).expect("free");
    let stages: Vec<Stage> = (0..STRANGERS_REQUESTS_MAX)
        .map(|_| place.visitor.begin())
        .collect();
    assert!(!place.visitor.overdoes());
    let more = place.visitor.begin();
    assert!(place.visitor.overdoes());
    place.visitor.prove("111122223333");
    assert!(!place.visitor.overdoes());
    drop((stages, more));
    assert_eq!(place.activity(), (u64::from(STRANGERS_REQUESTS_MAX) + 1, 0));
}

#[test]
fn health_checks_make_room_for_each_other() {
    let places = places();
    let held: Vec<Place> = (0..4)
        .map(|_| places.try_enter(address(1)).expect("free"))
        .collect();
    let mut stages: Vec<Stage> = held.iter().map(|place| place.visitor.begin()).collect();
    stages.iter_mut().for_each(Stage::answering);
    let mut checks: Vec<Place> = (0..2)
        .map(|_| places.try_enter(address(1)).expect("kept"))
        .collect();
    assert!(
        places.try_enter(address(1)).is_none(),
        "not before one has left"
    );
    assert!(must_leave(&checks[0]) && !must_leave(&checks[1]));
    checks.remove(0);
    assert!(places.try_enter(address(1)).is_some());
}

#[test]
fn strangers_leave_places_to_those_who_proved_a_key() {
    let places = places();
    let strangers: Vec<Place> = (0..2)
        .flat_map(|host| (0..4).map(move |_| address(host)))
        .map(|from| places.try_enter(from).expect("free"))
        .collect();
    let known = places.try_enter(address(7)).expect("room is made");
    assert_eq!(
        strangers.iter().filter(|place| must_leave(place)).count(),
        1
    );
    known.visitor.prove("111122223333");
    assert_eq!(known.visitor.group(), Group::Proved("111122223333".into()));
    for _ in 0..20 {
        drop(places.try_enter(address(8)));
    }
    assert!(!must_leave(&known));
}

#[test]
fn an_account_keeps_to_its_share() {
    let places = places();
    let mut held = Vec::new();
    for number in 0..12 {
        let place = places.try_enter(address(number)).expect("free");
        place.visitor.prove("111122223333");
        held.push(place);
    }
    let leaving: Vec<usize> = (0..12).filter(|at| must_leave(&held[*at])).collect();
    assert_eq!(leaving, [0, 1, 2, 3]);
}

#[test]
fn a_proxy_has_no_share_of_its_own_and_ipv6_counts_by_network() {
    let places = places();
    let proxied: Vec<Option<Place>> = (0..16)
        .map(|_| places.try_enter([10, 9, 1, 1].into()))
        .collect();
    assert!(proxied.iter().all(Option::is_some));
    drop(proxied);
    let six = |text: &str| text.parse::<IpAddr>().expect("an address");
    let held: Vec<Option<Place>> = (1..=4)
        .map(|host| places.try_enter(six(&format!("2001:db8::{host}"))))
        .collect();
    let fifth = places.try_enter(six("2001:db8::ffff:5"));
    assert!(fifth.is_some() && must_leave(held[0].as_ref().expect("free")));
    assert_eq!(prefix(six("2001:db8:0:1::7")), six("2001:db8:0:1::"));
    let mapped = places.try_enter(six("::ffff:10.0.0.1")).expect("free");
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
        let places = places();
        let (mut held, mut stages) = (Vec::<Place>::new(), Vec::<Stage>::new());
        for step in steps {
            match step {
                Step::Enter(host) => held.extend(places.try_enter(address(host))),
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
                held.retain(|place| !must_leave(place));
            }
            let state = places.lock();
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
        prop_assert!(places.lock().seats.values().all(|seat| seat.reading + seat.answering + seat.sending == 0));
        drop(held);
        let state = places.lock();
        prop_assert!(state.seats.is_empty() && state.staying.is_empty());
    }
}

//! Drills: recovery points that restore testing plans have restored, looked at and deleted again.
//!
//! A drill's record says how far it is, and is its receipt in the end. Every step is one transaction,
//! and is made again if the process dies before it.
mod due;
mod end;
mod follow;
mod open;
mod pair;
mod passed;

pub use due::run_now;
pub use pair::validate;

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::CatalogExt;
use model::{Account, Drill, Region, restore_testing::Stage};

use crate::{
    background::{Next, RunsOn, Task, TaskError},
    context::ServiceContext,
};

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(3);
/// Clusters of a region that are restored or read for drills at once: what people ask for needs the
/// machine, too.
const AT_ONCE: usize = 2;

/// The task.
#[derive(Debug)]
pub(crate) struct Drills;

#[async_trait]
impl Task for Drills {
    const RUNS_ON: RunsOn = RunsOn::Leader;

    fn name(&self) -> String {
        "drills".to_owned()
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        PERIOD
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let mut first = Ok(Next::Period);
        for region in context.vaults.regions() {
            for seen in [
                due::run(context, &region).await,
                see_to(context, &region).await,
            ] {
                if let Err(error) = seen {
                    first = first.and(Err(error));
                }
            }
        }
        first
    }
}

/// Goes on with each drill of a region; answers the first error when all had their turn.
async fn see_to(context: &ServiceContext, region: &Region) -> Result<(), TaskError> {
    let here = region.clone();
    let open = context.catalog.read(move |tx| open::all(tx, &here)).await?;
    let mut turns = Turns::of(&open);
    let mut first = Ok(());
    for drill in open {
        if context.is_stopping() {
            break;
        }
        let waits = drill.stage == Stage::Waiting;
        let may_begin = waits && turns.may_begin(&drill.account);
        match follow::go_on(context, &drill, may_begin).await {
            Ok(began) if waits && began => turns.begun(&drill.account),
            Ok(_) => {}
            Err(error) => {
                let told = format!("the drill {} was not seen to", drill.arn());
                first = first.and(Err(TaskError::doing(&told, &error)));
            }
        }
    }
    first
}

/// Whose drills may begin: an account's long ones leave room for another's.
struct Turns {
    free: usize,
    busy: HashSet<Account>,
    waiting: HashSet<Account>,
}

impl Turns {
    fn of(open: &[Drill]) -> Self {
        let accounts = |is: fn(&Stage) -> bool| open.iter().filter(move |one| is(&one.stage));
        let is_busy: fn(&Stage) -> bool =
            |stage| matches!(stage, Stage::Restoring | Stage::Checking);
        Self {
            free: AT_ONCE.saturating_sub(accounts(is_busy).count()),
            busy: accounts(is_busy).map(|one| one.account.clone()).collect(),
            waiting: accounts(|stage| *stage == Stage::Waiting)
                .map(|one| one.account.clone())
                .collect(),
        }
    }

    /// Whether there is room for one more of an account: it has none that is busy, or no other account waits
    /// that has none.
    fn may_begin(&self, account: &Account) -> bool {
        let others_wait = || self.waiting.difference(&self.busy).next().is_some();
        0 < self.free && !(self.busy.contains(account) && others_wait())
    }

    fn begun(&mut self, account: &Account) {
        self.free = self.free.saturating_sub(1);
        self.busy.insert(account.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_leaves_room_for_others() {
        let account = |digit: &str| digit.repeat(12).parse::<Account>().expect("an account");
        let (one, other) = (account("1"), account("2"));
        let turns = |free, busy: &[&Account], waiting: &[&Account]| Turns {
            free,
            busy: busy.iter().map(|one| (*one).clone()).collect(),
            waiting: waiting.iter().map(|one| (*one).clone()).collect(),
        };
        assert!(!turns(1, &[&one], &[&one, &other]).may_begin(&one));
        assert!(turns(1, &[&one], &[&one, &other]).may_begin(&other));
        assert!(turns(1, &[&one], &[&one]).may_begin(&one));
        let mut all = turns(2, &[], &[&one, &other]);
        assert!(all.may_begin(&one));
        all.begun(&one);
        assert!(!all.may_begin(&one) && all.may_begin(&other));
        all.begun(&other);
        assert!(!all.may_begin(&one));
    }
}

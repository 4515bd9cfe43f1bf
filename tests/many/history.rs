//! Whether answers that came at the same time can be those of one server that does one request after another.
//!
//! A history is linearizable if its calls can be put into an order in which each answer is right, and in which a call
//! that had ended when another one began comes before that. The order is looked for as Wing and Gong do: of the calls
//! that may come next, one is tried after the other, and where none fits, the last choice is taken back. As Lowe adds,
//! what was tried in vain is remembered: a set of calls that are done and the state that they led to need no second try.
//!
//! Histories are checked object by object, which is enough: a history is linearizable if that of each object is.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;

/// More than this many steps mean that a history is too entangled to be judged, which fails a test, too.
const MOST_STEPS: usize = 5_000_000;

/// What was asked of an object, and what was answered.
pub(crate) trait Operation: fmt::Debug {
    type State: Clone + Eq + Hash + fmt::Debug;

    /// The state after it, or `None` if the answer isn't that of an object in this state.
    fn apply(&self, state: &Self::State) -> Option<Self::State>;

    /// Whether it was answered. If not, it was done before it ended, or never will be.
    fn is_answered(&self) -> bool {
        true
    }
}

/// An operation, and when it began and ended.
#[derive(Clone, Debug)]
pub(crate) struct Call<O> {
    pub(crate) operation: O,
    pub(crate) began: u64,
    pub(crate) ended: u64,
}

/// An order of the calls in which every answer is right, by their places in `calls`. Those that weren't answered may be
/// left out.
///
/// # Errors
///
/// What can't be put into an order, if there is none.
pub(crate) fn order<O: Operation>(
    initial: O::State,
    calls: &[Call<O>],
) -> Result<Vec<usize>, String> {
    let mut by_end: Vec<usize> = (0..calls.len()).collect();
    // What ended first was done first in most histories, so that few choices are taken back.
    by_end.sort_by_key(|place| (calls[*place].ended, calls[*place].began));
    let is_answered = |place: usize| calls[place].operation.is_answered();
    let unanswered: Vec<usize> = (0..calls.len())
        .filter(|place| !is_answered(*place))
        .collect();
    let answered = calls.len() - unanswered.len();
    let mut search = Search {
        calls,
        by_end,
        unanswered,
        done: Set::new(calls.len()),
        tried: HashSet::new(),
        steps: 0,
    };
    let mut states = vec![initial];
    let mut choices = vec![search.choices()];
    let mut order: Vec<usize> = Vec::new();
    let mut answered_in_order = 0;
    let mut longest: Vec<usize> = Vec::new();
    loop {
        if answered_in_order == answered {
            return Ok(order);
        }
        if order.len() > longest.len() {
            longest.clone_from(&order);
        }
        let state = states.last().expect("there is a state at each step");
        let next = choices
            .last_mut()
            .and_then(|choices| search.first_that_fits(choices, state));
        match next {
            Some((place, state)) => {
                search.steps += 1;
                if search.steps > MOST_STEPS {
                    return Err(format!(
                        "{} calls are too entangled to be judged",
                        calls.len()
                    ));
                }
                order.push(place);
                answered_in_order += usize::from(is_answered(place));
                states.push(state);
                choices.push(search.choices());
            }
            None => {
                states.pop();
                choices.pop();
                let Some(place) = order.pop() else {
                    return Err(stuck(calls, &longest));
                };
                answered_in_order -= usize::from(is_answered(place));
                search.done.remove(place);
            }
        }
    }
}

struct Search<'c, O: Operation> {
    calls: &'c [Call<O>],
    by_end: Vec<usize>,
    unanswered: Vec<usize>,
    done: Set,
    tried: HashSet<(Set, O::State)>,
    steps: usize,
}

impl<O: Operation> Search<'_, O> {
    /// The calls that are done, and those that can't be any more: they weren't answered and had ended when one began
    /// that is done.
    fn late(&self) -> Set {
        let mut late = self.done.clone();
        if self.unanswered.is_empty() {
            return late;
        }
        let done = (0..self.calls.len()).filter(|place| self.done.has(*place));
        let last_begin = done.map(|place| self.calls[place].began).max();
        let is_late =
            |place: &&usize| last_begin.is_some_and(|began| self.calls[**place].ended < began);
        for place in self.unanswered.iter().filter(is_late) {
            late.add(*place);
        }
        late
    }

    /// The calls that may come next, the best one last: all that began before the first end of those that are left and
    /// were answered.
    fn choices(&self) -> Vec<usize> {
        let call = |place: &usize| &self.calls[*place];
        let late = self.late();
        let mut choices = self.by_end.clone();
        choices.retain(|place| !late.has(*place));
        let first_end = choices
            .iter()
            .map(call)
            .find(|call| call.operation.is_answered());
        let first_end = first_end.map_or(u64::MAX, |call| call.ended);
        choices.retain(|place| call(place).began <= first_end);
        // What wasn't answered was seldom done.
        choices.sort_by_key(|place| !call(place).operation.is_answered());
        choices.reverse();
        choices
    }

    /// Takes off the first choice that fits the state and wasn't tried before, and does it.
    fn first_that_fits(
        &mut self,
        choices: &mut Vec<usize>,
        state: &O::State,
    ) -> Option<(usize, O::State)> {
        while let Some(place) = choices.pop() {
            let Some(state) = self.calls[place].operation.apply(state) else {
                continue;
            };
            self.done.add(place);
            // Whether something was done that never can be now makes no difference, if it led to the same state.
            if self.tried.insert((self.late(), state.clone())) {
                return Some((place, state));
            }
            self.done.remove(place);
        }
        None
    }
}

/// Calls, by their places.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Set(Vec<u64>);

impl Set {
    fn new(count: usize) -> Set {
        Set(vec![0; count.div_ceil(64)])
    }

    fn has(&self, place: usize) -> bool {
        self.0[place / 64] & (1 << (place % 64)) != 0
    }

    fn add(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn remove(&mut self, place: usize) {
        self.0[place / 64] &= !(1 << (place % 64));
    }
}

/// The end of the longest order that was found, and the calls of which none fits after it.
fn stuck<O: Operation>(calls: &[Call<O>], longest: &[usize]) -> String {
    let mut text = format!(
        "{} of {} calls have no place in any order; in order are:",
        calls.len() - longest.len(),
        calls.len()
    );
    for place in &longest[longest.len().saturating_sub(5)..] {
        text.push_str(&format!("\n  {:?}", calls[*place]));
    }
    let mut left: Vec<&Call<O>> = (0..calls.len())
        .filter(|place| !longest.contains(place))
        .map(|place| &calls[place])
        .collect();
    left.sort_by_key(|call| call.began);
    text.push_str("\nand none of these comes next:");
    for call in left.iter().take(8) {
        text.push_str(&format!("\n  {call:?}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payment::{Answer, Operation as Payment, Outcome, Shown};

    fn call(began: u64, ended: u64, operation: Payment) -> Call<Payment> {
        Call {
            operation,
            began,
            ended,
        }
    }

    fn shown(id: &str, amount: u64, memo: Option<&str>) -> Shown {
        Shown {
            id: id.to_owned(),
            amount,
            memo: memo.map(str::to_owned),
            reference: None,
        }
    }

    fn record(amount: u64, memo: Option<&str>, outcome: Outcome, shown: Shown) -> Payment {
        Payment::Record {
            amount,
            memo: memo.map(str::to_owned),
            answer: Some(Answer { outcome, shown }),
        }
    }

    fn update(memo: &str, shown: Shown) -> Payment {
        Payment::Update {
            memo: Some(memo.to_owned()),
            reference: None,
            shown: Some(shown),
        }
    }

    fn created(amount: u64, memo: &str) -> Payment {
        record(
            amount,
            Some(memo),
            Outcome::Created,
            shown("a", amount, Some(memo)),
        )
    }

    fn updated(amount: u64, memo: &str) -> Payment {
        record(
            amount,
            Some(memo),
            Outcome::Updated,
            shown("a", amount, Some(memo)),
        )
    }

    fn read(shown: Option<Shown>) -> Payment {
        Payment::Read(shown)
    }

    #[track_caller]
    fn is_refused(calls: &[Call<Payment>]) {
        let found = order(None, calls);
        assert!(found.is_err(), "{found:?}");
    }

    #[test]
    fn one_request_after_another_is_in_order() {
        let calls = [
            call(1, 2, read(None)),
            call(3, 4, created(1, "m")),
            call(5, 6, read(Some(shown("a", 1, Some("m"))))),
            call(7, 8, updated(2, "n")),
            call(9, 10, update("o", shown("a", 2, Some("o")))),
            // What isn't sent stays.
            call(
                11,
                12,
                record(3, None, Outcome::Updated, shown("a", 3, Some("o"))),
            ),
            call(
                13,
                14,
                record(3, None, Outcome::Unchanged, shown("a", 3, Some("o"))),
            ),
        ];
        assert_eq!(order(None, &calls), Ok(vec![0, 1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn requests_at_once_are_put_into_the_order_that_fits() {
        // All at once, told in the wrong order; what each shows leaves one order.
        let calls = [
            call(1, 10, read(Some(shown("a", 3, Some("n"))))),
            call(
                1,
                10,
                record(3, None, Outcome::Updated, shown("a", 3, Some("n"))),
            ),
            call(1, 10, update("n", shown("a", 2, Some("n")))),
            call(1, 10, updated(2, "m")),
            call(1, 10, created(1, "l")),
        ];
        assert_eq!(order(None, &calls), Ok(vec![4, 3, 2, 1, 0]));
    }

    #[test]
    fn a_first_choice_that_leads_nowhere_is_taken_back() {
        // What ended first has to come last.
        let calls = [
            call(1, 2, created(1, "m")),
            call(3, 5, updated(2, "n")),
            call(3, 6, updated(3, "o")),
            call(7, 8, read(Some(shown("a", 2, Some("n"))))),
        ];
        assert_eq!(order(None, &calls), Ok(vec![0, 2, 1, 3]));
    }

    #[test]
    fn a_lost_update_is_refused() {
        // Both were acknowledged one after another, and the second is gone.
        is_refused(&[
            call(1, 2, created(1, "m")),
            call(3, 4, updated(2, "n")),
            call(5, 6, updated(3, "o")),
            call(7, 8, read(Some(shown("a", 2, Some("n"))))),
        ]);
        // An update that read the payment before another one wrote takes that back.
        is_refused(&[
            call(1, 2, created(1, "m")),
            call(
                3,
                6,
                record(2, None, Outcome::Updated, shown("a", 2, Some("m"))),
            ),
            call(3, 6, update("n", shown("a", 1, Some("n")))),
            call(7, 8, read(Some(shown("a", 2, Some("m"))))),
        ]);
        // Each shows what it knew, and none knew of the other.
        is_refused(&[
            call(1, 2, created(1, "m")),
            call(
                3,
                6,
                record(2, None, Outcome::Updated, shown("a", 2, Some("m"))),
            ),
            call(3, 6, update("n", shown("a", 1, Some("n")))),
        ]);
    }

    #[test]
    fn a_payment_that_is_created_twice_is_refused() {
        is_refused(&[
            call(1, 5, created(1, "m")),
            call(1, 5, {
                let shown = shown("b", 1, Some("m"));
                record(1, Some("m"), Outcome::Created, shown)
            }),
        ]);
        is_refused(&[call(1, 5, created(1, "m")), call(1, 5, created(1, "m"))]);
        // The same payment under another id.
        is_refused(&[
            call(1, 2, created(1, "m")),
            call(3, 4, {
                let shown = shown("b", 2, Some("n"));
                record(2, Some("n"), Outcome::Updated, shown)
            }),
        ]);
        // It can't have been there before it was created, either.
        is_refused(&[call(1, 2, updated(1, "m"))]);
    }

    #[test]
    fn a_stale_read_is_refused() {
        is_refused(&[
            call(1, 2, created(1, "m")),
            call(3, 4, updated(2, "n")),
            call(5, 6, read(Some(shown("a", 1, Some("m"))))),
        ]);
        is_refused(&[call(1, 2, created(1, "m")), call(3, 4, read(None))]);
        // While the write is on its way, both are right.
        for known in [shown("a", 1, Some("m")), shown("a", 2, Some("n"))] {
            let calls = [
                call(1, 2, created(1, "m")),
                call(3, 6, updated(2, "n")),
                call(4, 5, read(Some(known))),
            ];
            assert!(order(None, &calls).is_ok());
        }
        // But nobody reads the old after somebody has read the new.
        is_refused(&[
            call(1, 2, created(1, "m")),
            call(3, 10, updated(2, "n")),
            call(4, 5, read(Some(shown("a", 2, Some("n"))))),
            call(6, 7, read(Some(shown("a", 1, Some("m"))))),
        ]);
    }

    #[test]
    fn a_wrong_outcome_is_refused() {
        let same = |outcome| record(1, Some("m"), outcome, shown("a", 1, Some("m")));
        for (outcome, is_right) in [
            (Outcome::Created, false),
            (Outcome::Updated, false),
            (Outcome::Unchanged, true),
        ] {
            let calls = [call(1, 2, created(1, "m")), call(3, 4, same(outcome))];
            assert_eq!(order(None, &calls).is_ok(), is_right, "{outcome:?}");
        }
        // Unchanged, though it changed something.
        is_refused(&[
            call(1, 2, created(1, "m")),
            call(3, 4, {
                let shown = shown("a", 2, Some("n"));
                record(2, Some("n"), Outcome::Unchanged, shown)
            }),
        ]);
        // An answer that shows something else than what was sent.
        is_refused(&[call(1, 2, {
            let shown = shown("a", 2, Some("m"));
            record(1, Some("m"), Outcome::Created, shown)
        })]);
    }

    #[test]
    fn what_was_not_answered_may_have_been_done_or_not() {
        let unanswered = Call {
            operation: Payment::Record {
                amount: 2,
                memo: None,
                answer: None,
            },
            began: 3,
            ended: 4,
        };
        for known in [shown("a", 1, Some("m")), shown("a", 2, Some("m"))] {
            let calls = [
                call(1, 2, created(1, "m")),
                unanswered.clone(),
                call(9, 10, read(Some(known))),
            ];
            assert!(order(None, &calls).is_ok());
        }
        // It can't have been done before it was asked for or after it had ended, nor be taken back.
        let new = || read(Some(shown("a", 2, Some("m"))));
        let old = || read(Some(shown("a", 1, Some("m"))));
        is_refused(&[
            call(0, 1, created(1, "m")),
            call(1, 2, new()),
            unanswered.clone(),
        ]);
        is_refused(&[
            call(1, 2, created(1, "m")),
            unanswered.clone(),
            call(5, 6, new()),
            call(7, 8, old()),
        ]);
        is_refused(&[
            call(1, 2, created(1, "m")),
            unanswered,
            call(5, 6, old()),
            call(7, 8, new()),
        ]);
    }

    #[test]
    fn a_history_of_many_calls_at_once_is_judged_soon() {
        // Twelve at a time, of which what is read next tells the last one only.
        let mut calls = vec![call(0, 1, created(1, "m"))];
        let mut amount = 1;
        for round in 1..20 {
            let (start, end) = (round * 10, round * 10 + 5);
            for _ in 0..12 {
                amount += 1;
                calls.push(call(start, end, updated(amount, "m")));
            }
            let last = amount - 7;
            calls.push(call(
                end + 1,
                end + 2,
                read(Some(shown("a", last, Some("m")))),
            ));
        }
        assert!(order(None, &calls).is_ok());
        // The same with a read at its end that nothing explains.
        calls.push(call(1_000, 1_001, read(Some(shown("a", 1, Some("m"))))));
        let fault = order(None, &calls).unwrap_err();
        assert!(fault.starts_with("1 of 249 calls have no place"), "{fault}");
    }
}

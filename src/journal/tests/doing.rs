//! What is to be done, and has been.

use super::disk::Fault;
use super::*;

fn doing(actions: Vec<ActionRecord>, occasions: Vec<OccasionRecord>, passed: Vec<(u32, u32)>) -> Doing {
    Doing { actions, occasions, passed }
}

#[test]
fn what_is_to_be_done_is_found_again_until_everything_of_its_moment_has_been() {
    let disk = Disk::formatted();
    let (mut store, _) = open(&disk).expect("formatted");
    let first = doing(vec![action(3, 0), action(3, 1)], vec![occasion(3, 0)], vec![]);
    store.write(Write { doing: first, ..decided(1) }).expect("nothing fails");
    store.close();

    let (mut store, restored) = open(&disk).expect("closed");
    assert_eq!(restored.occasions, [occasion(3, 0)]);
    assert_eq!(restored.actions, [action(3, 0), action(3, 1)], "of an epoch before that of the state as well");
    let done = ActionRecord { result: ActionResult::Done, attempts: 2, ..action(3, 0) };
    let second = doing(vec![done.clone()], vec![], vec![(3, 0)]);
    store.write(Write { doing: second, ..decided(2) }).expect("nothing fails");
    store.close();

    let (mut store, restored) = open(&disk).expect("closed");
    assert_eq!(
        (restored.occasions, restored.actions),
        (vec![], vec![]),
        "nothing is left, and the state is of epoch 7"
    );
    let of_state = doing(vec![action(7, 4)], vec![], vec![]);
    store.write(Write { doing: of_state, ..decided(3) }).expect("nothing fails");
    store.close();
    let (_, restored) = open(&disk).expect("closed");
    assert_eq!(restored.actions, [action(7, 4)], "numbers of the state's epoch go on where they ended");
}

#[test]
fn what_a_disk_that_fails_did_not_take_comes_with_the_next_write() {
    let disk = Disk::formatted();
    let (mut store, _) = open(&disk).expect("formatted");
    disk.fail(Fault::ReadOnly);
    let lost = doing(vec![action(7, 0)], vec![occasion(7, 0)], vec![]);
    store.write(Write { doing: lost, ..decided(1) }).expect_err("the disk fails");
    disk.fail(None);
    store.write(decided(2)).expect("the disk is well again");
    store.close();
    let (_, restored) = open(&disk).expect("closed");
    assert_eq!((restored.occasions, restored.actions), (vec![occasion(7, 0)], vec![action(7, 0)]));
}

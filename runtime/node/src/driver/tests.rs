//! Back-pressure: what comes over links waits while much is on its way to the disk.

use super::*;
use cairn_store::Op;

/// Long enough for the loop to take an event many times over.
const SOON: Duration = Duration::from_millis(300);

async fn started(home: &Path) -> Driver {
    let config = NodeConfig { listen: Vec::new(), discovery: false, ..NodeConfig::default() };
    Driver::start(home, &config, Identity::from_seed(&[1; 32])).await.unwrap()
}

#[tokio::test]
async fn links_are_not_read_while_much_is_on_its_way_to_the_disk() {
    let home = tempfile::tempdir().unwrap();
    let mut driver = started(home.path()).await;
    // A batch that a slow disk does not answer yet; it has a number of its own.
    let slow = CommitId::MAX;
    let value = vec![0; usize::try_from(committing::COMMITTING_BYTES_MAX).unwrap()];
    driver.committing.begin(slow, &vec![Op::put(Table::Bundles, [1], value)]);
    let (events, done) = (driver.events.clone(), driver.done.clone());
    let peer = Identity::from_seed(&[2; 32]).node_id();
    let (answer, mut answered) = oneshot::channel();
    events.send(DriverEvent::MayMeet { peer, answer }).await.unwrap();
    let test = async {
        assert!(tokio::time::timeout(SOON, &mut answered).await.is_err(), "an event of a link was taken");
        done.send(Done::Commit { commit: slow, durable: true }).unwrap();
        let answer = tokio::time::timeout(FAREWELL, answered).await.unwrap();
        assert!(!answer.unwrap(), "it is no peer");
    };
    tokio::select! {
        _ = driver.run(|_| (), |_| ()) => panic!("the node ended"),
        () = test => {}
    }
}

#[tokio::test]
async fn what_waits_is_not_taken_from_links_either_while_much_is_on_its_way() {
    let home = tempfile::tempdir().unwrap();
    let mut driver = started(home.path()).await;
    for (commit, len, room) in [(1, 0, true), (2, committing::COMMITTING_BYTES_MAX - 1, false)] {
        let value = vec![0; usize::try_from(len).unwrap()];
        driver.committing.begin(CommitId::MAX - commit, &vec![Op::put(Table::Bundles, [1], value)]);
        driver.events.send(DriverEvent::Ready).await.unwrap();
        driver.handle_waiting();
        assert_eq!(driver.events_in.is_empty(), room);
    }
    // A commit that is not known frees nothing.
    for (commit, room) in [(5, false), (2, true), (2, true)] {
        driver.committing.end(CommitId::MAX - commit);
        assert_eq!(driver.may_read(), room);
    }
    driver.handle_waiting();
    assert!(driver.events_in.is_empty());
}

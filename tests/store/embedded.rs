//! What the embedded store promises beyond the contract: the file, its owner, its sweeps, its end.

use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coatcheck::clock::{Clock, SystemClock};
use coatcheck::core::time::Timestamp;
use coatcheck::store::embedded::{Embedded, OpenError};
use coatcheck::store::{NewSession, SessionId, SessionStore, Swap};
use tempfile::TempDir;

use crate::bed::{LONG, a_once_key, a_session, a_user, an_id, eventually};
use crate::contract::is_unavailable;

/// Set for the child processes of the tests below; the value is the file to write to.
const CHILD: &str = "COATCHECK_TEST_CHILD";

#[tokio::test]
async fn a_reopened_file_holds_what_was_written() {
    let (_directory, path) = a_file();
    let (user, kept, deleted, once) = (a_user(), an_id(), an_id(), a_once_key());
    let store = open(&path);
    store.create(a_session(kept, b"one", &[user])).await.unwrap();
    store.create(a_session(deleted, b"gone", &[user])).await.unwrap();
    store.replace(Swap { id: kept, expected: 1, payload: b"two".to_vec(), ttl: None }).await.unwrap();
    let seen = SystemClock.now() + Duration::from_secs(60);
    store.touch(kept, seen, LONG).await.unwrap();
    store.delete(deleted, &[user]).await.unwrap();
    store.claim_once(once, LONG).await.unwrap();
    drop(store);

    let store = open(&path);
    let stored = store.load(kept).await.unwrap().unwrap();
    assert_eq!((stored.generation, stored.last_seen, stored.payload.as_slice()), (2, seen, b"two".as_slice()));
    assert!(store.load(deleted).await.unwrap().is_none());
    assert!(!store.claim_once(once, LONG).await.unwrap());
    assert_eq!(store.end_all(user, seen, LONG).await.unwrap(), vec![kept]);
    drop(store);
    assert_eq!(open(&path).tombstone(user).await.unwrap(), Some(seen));
}

#[tokio::test]
async fn the_file_is_for_its_owner_only() {
    let (_directory, path) = a_file();
    let store = open(&path);
    store.ping().await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_closed_store_answers_unavailable_and_frees_the_file() {
    let (_directory, path) = a_file();
    let store = open(&path);
    let id = an_id();
    store.create(a_session(id, b"x", &[])).await.unwrap();
    store.close();
    store.close();
    assert!(is_unavailable(&store.load(id).await));
    assert!(is_unavailable(&store.create(a_session(id, b"x", &[])).await));
    assert!(is_unavailable(&store.ping().await));
    assert!(open(&path).load(id).await.unwrap().is_some());
}

#[tokio::test]
async fn writes_that_wait_are_finished_by_close() {
    let (_directory, path) = a_file();
    let store = Arc::new(open(&path));
    let ids: Vec<_> = (0..200).map(|_| an_id()).collect();
    let mut writes = tokio::task::JoinSet::new();
    for id in ids.clone() {
        let store = store.clone();
        writes.spawn(async move { store.create(a_session(id, b"x", &[])).await.map(|()| id) });
    }
    tokio::task::yield_now().await;
    store.close();
    let written = writes.join_all().await;
    let store = open(&path);
    for id in written.into_iter().flatten() {
        assert!(store.load(id).await.unwrap().is_some(), "an acknowledged write is missing");
    }
}

#[tokio::test]
async fn a_file_in_use_by_another_process_says_so() {
    let (_directory, path) = a_file();
    let mut child = Killed(spawn_child("child_that_holds_the_file", &path));
    // Its first line says that it has the file.
    assert_eq!(acknowledged(&mut child.0).next().as_deref(), Some("0"));
    let error = Embedded::open(&path, Arc::new(SystemClock)).err().expect("the file has an owner");
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("coatcheck.db is in use by another process"), "{error}");
}

#[tokio::test]
async fn after_kill_9_every_acknowledged_write_is_there() {
    let (_directory, path) = a_file();
    let mut acknowledged_in_all = 0;
    for round in 1..=4_u64 {
        let mut child = Killed(spawn_child("child_that_writes_until_killed", &path));
        let mut lines = acknowledged(&mut child.0);
        let mut last = 0;
        for line in lines.by_ref().take(40 * usize::try_from(round).unwrap()) {
            last = line.parse().unwrap();
        }
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        // What it said before it died counts too.
        last = lines.filter_map(|line| line.parse().ok()).last().unwrap_or(last);

        let store = open(&path);
        for n in 0..=last {
            let stored = store.load(numbered(n)).await.unwrap();
            let stored = stored.unwrap_or_else(|| panic!("write {n} of {last} was acknowledged and is missing"));
            assert_eq!((stored.generation, stored.payload.as_slice()), (2, n.to_be_bytes().as_slice()));
        }
        acknowledged_in_all += last;
    }
    assert!(acknowledged_in_all > 100, "the children hardly wrote");
}

#[tokio::test]
async fn a_file_that_is_something_else_is_refused_and_left_alone() {
    let (_directory, path) = a_file();
    let text = "# my notes\n".repeat(1000);
    std::fs::write(&path, &text).unwrap();
    let error = Embedded::open(&path, Arc::new(SystemClock)).err().expect("not a store");
    assert!(matches!(error, OpenError::Unreadable { .. }), "{error:?}");
    assert!(error.to_string().contains("is damaged or not a store of coatcheck"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_database_of_another_program_is_refused() {
    let (_directory, path) = a_file();
    {
        let database = redb::Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(redb::TableDefinition::<u64, u64>::new("theirs")).unwrap().insert(1, 2).unwrap();
        transaction.commit().unwrap();
    }
    let error = Embedded::open(&path, Arc::new(SystemClock)).err().expect("not a store of ours");
    assert!(matches!(error, OpenError::Unreadable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_of_a_newer_format_is_refused() {
    let (_directory, path) = a_file();
    drop(open(&path));
    {
        let database = redb::Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let rows = redb::TableDefinition::<&[u8], (u64, u64)>::new("rows");
        transaction.open_table(rows).unwrap().insert(b"f".as_slice(), (7, u64::MAX)).unwrap();
        transaction.commit().unwrap();
    }
    let error = Embedded::open(&path, Arc::new(SystemClock)).err().expect("a newer format");
    assert!(matches!(error, OpenError::Newer { found: 7, .. }), "{error:?}");
}

#[tokio::test]
async fn damage_in_the_middle_of_the_file_is_found_when_it_is_opened() {
    let (_directory, path) = a_file();
    {
        let store = open(&path);
        for n in 0..64 {
            store.create(a_session(numbered(n), &[b'p'; 3000], &[])).await.unwrap();
        }
    }
    let whole = std::fs::read(&path).unwrap();
    // A byte inside a payload that stands.
    let at = whole.windows(512).rposition(|bytes| bytes.iter().all(|byte| *byte == b'p')).unwrap() + 256;
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(u64::try_from(at).unwrap())).unwrap();
    file.write_all(b"X").unwrap();
    drop(file);
    let error = Embedded::open(&path, Arc::new(SystemClock)).err().expect("the damage is found");
    assert!(matches!(error, OpenError::Unreadable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_truncated_file_is_refused() {
    let (_directory, path) = a_file();
    {
        let store = open(&path);
        store.create(a_session(an_id(), &[1; 3000], &[])).await.unwrap();
    }
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length / 3).unwrap();
    let error = Embedded::open(&path, Arc::new(SystemClock)).err().expect("cut off");
    assert!(matches!(error, OpenError::Unreadable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_path_that_cannot_be_opened_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("nowhere").join("coatcheck.db");
    let error = Embedded::open(&missing, Arc::new(SystemClock)).err().unwrap();
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains("nowhere/coatcheck.db"), "{error}");
    assert!(Embedded::open(directory.path(), Arc::new(SystemClock)).is_err());
}

#[tokio::test]
async fn aged_rows_are_swept_and_their_space_is_given_back() {
    let (_directory, path) = a_file();
    let clock = SetClock::at(SystemClock.now());
    let store = Embedded::open(&path, clock.clone()).unwrap();
    for _ in 0..8 {
        let short = NewSession {
            ttl: Duration::from_secs(60),
            index_ttl: Duration::from_secs(60),
            ..a_session(an_id(), &vec![7; 1_900_000], &[a_user()])
        };
        store.create(short).await.unwrap();
    }
    let kept = an_id();
    store.create(a_session(kept, b"kept", &[])).await.unwrap();
    assert_eq!(store.rows().await.unwrap(), 17);
    let full = std::fs::metadata(&path).unwrap().len();

    clock.advance(Duration::from_secs(120));
    eventually("the sweep", || async {
        // Any write wakes the writer, which then looks at the clock.
        let _ = store.ping().await;
        store.rows().await.is_ok_and(|rows| rows == 1)
    })
    .await;
    eventually("the compaction", || async { std::fs::metadata(&path).unwrap().len() < full / 4 }).await;
    assert_eq!(store.load(kept).await.unwrap().unwrap().payload, b"kept");
}

/// The disk is "full" by a limit on the size of files, which the parent lifts later.
#[tokio::test]
async fn after_a_full_disk_the_store_works_again_by_itself() {
    let (_directory, path) = a_file();
    let shell = format!(
        "trap '' XFSZ; ulimit -S -f 6144; exec \"$0\" --exact {} --nocapture",
        "embedded::child_that_fills_the_disk"
    );
    let mut command = Command::new("sh");
    command.arg("-c").arg(shell).arg(std::env::current_exe().unwrap());
    let mut child = Killed(started(command, &path));
    let mut lines = acknowledged(&mut child.0);
    assert_eq!(lines.by_ref().find(|line| line == "full").as_deref(), Some("full"));
    let lifted = Command::new("prlimit").arg(format!("--pid={}", child.0.id())).arg("--fsize=unlimited").status();
    assert!(lifted.unwrap().success());
    assert_eq!(lines.by_ref().find(|line| line != "full").as_deref(), Some("recovered"));
    assert!(child.0.wait().unwrap().success());
    let store = open(&path);
    for n in 0..2 {
        assert!(store.load(numbered(n)).await.unwrap().is_some(), "write {n} was acknowledged and is missing");
    }
}

// The processes that the tests above start: this same test binary. Without the variable they have
// nothing to do.

#[test]
fn child_that_holds_the_file() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let _store = open(Path::new(&path));
    say("0");
    std::thread::park();
}

#[test]
fn child_that_writes_until_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = open(Path::new(&path));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        for n in 0_u64.. {
            store.create(a_session(numbered(n), b"first", &[a_user()])).await.unwrap();
            let swap = Swap { id: numbered(n), expected: 1, payload: n.to_be_bytes().to_vec(), ttl: None };
            store.replace(swap).await.unwrap();
            say(&n.to_string());
        }
    });
}

#[test]
fn child_that_fills_the_disk() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = open(Path::new(&path));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        for n in 0_u64.. {
            let session = a_session(numbered(n), &vec![3; 200_000], &[]);
            match store.create(session).await {
                Ok(()) => assert!(n < 1000, "the limit does not bite"),
                Err(_) => break,
            }
        }
        say("full");
        let last = an_id();
        eventually("the store works again", || async { store.create(a_session(last, b"x", &[])).await.is_ok() }).await;
        assert!(store.load(last).await.unwrap().is_some());
        say("recovered");
    });
}

fn a_file() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("coatcheck.db");
    (directory, path)
}

fn open(path: &Path) -> Embedded {
    Embedded::open(path, Arc::new(SystemClock)).unwrap()
}

fn numbered(n: u64) -> SessionId {
    SessionId(u128::from(n).to_be_bytes())
}

fn spawn_child(name: &str, path: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("embedded::{name}"), "--nocapture"]);
    started(command, path)
}

fn started(mut command: Command, path: &Path) -> Child {
    command.env(CHILD, path).stdout(Stdio::piped()).spawn().unwrap()
}

/// A line for the parent; the test harness prints lines of its own between them.
fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "said {what}").unwrap();
    out.flush().unwrap();
}

fn acknowledged(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The first may follow what the test harness has begun to print.
    lines.map_while(Result::ok).filter_map(|line| line.split_once("said ").map(|(_, said)| said.to_owned()))
}

/// Ends the child with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A clock that a test moves.
struct SetClock(AtomicU64);

impl SetClock {
    fn at(start: Timestamp) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(start.millis())))
    }

    fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

//! The spool: records on their way from the loop to segment files.
//!
//! ```text
//! loop thread                         writer thread                     flusher thread
//! append_hit/append_short ─▶ group ─┐
//! commit() ── bounded channel ──────┴▶ write_group, seal_due ─▶ sealed ─▶ next_sealed() … discard(path)
//! take_done() ◀── eventfd, channel ──┘
//! ```
//!
//! Ownership: the open group is the loop's, the open segment files are the writer thread's, the sealed ones the
//! flusher's; [`Inventory`] counts them all. The writer thread is a native one and never takes the interpreter's lock.
//!
//! Invariants, held by `spool/tests.rs`:
//! * A group is confirmed only after all of its records were handed to the kernel (or synced, `Durability::Power`).
//! * Nothing here waits without bound: at most [`GROUPS_IN_FLIGHT_MAX`] groups and [`IN_FLIGHT_MAX_BYTES`] bytes are
//!   under way, then the group stays open, and past the byte bound [`RecordSink::room`] says no.
mod files;
mod folder;
mod group;
mod inventory;
mod settings;
mod tally;
mod writer;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{EventfdFlags, eventfd};

pub use files::{DiskFiles, Files};
pub use folder::{LOCK_NAME, SpoolFolder};
pub use group::{Arena, Group};
pub use inventory::Inventory;
pub use settings::{Durability, SpoolSettings};
pub use tally::Tally;
pub use writer::{Now, OPEN_SEGMENTS_MAX, SegmentWriter};

use crate::pipeline::RecordSink;
use crate::record::{HitRecord, ShortRecord};
use crate::segment::{ID_BYTES, SegmentId};

/// Bytes between the loop and the disk, at most. Two batches of the default size would not be acknowledged any sooner
/// by waiting here longer, so hits beyond it are answered 503.
pub const IN_FLIGHT_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Groups between the loop and the disk, at most; the channel's capacity. While so many wait, later hits join the open group.
pub const GROUPS_IN_FLIGHT_MAX: usize = 64;

/// Room in the channel besides the groups', for settings and seals: they are rare, and the loop must not wait for a slow
/// disk to send one.
const OTHER_COMMANDS_MAX: usize = 64;

/// How long the writer thread sleeps when no segment is open.
const IDLE_WAIT: Duration = Duration::from_secs(3_600);

/// Numbers the groups of a process from 1.
pub type GroupId = u64;

enum Command {
    Write { group: GroupId, arenas: Vec<Arena> },
    Settings(SpoolSettings),
    SealAll,
}

/// A settled group.
struct Done {
    group: GroupId,
    is_written: bool,
    arenas: Vec<Arena>,
}

/// The loop thread's end of the spool.
pub struct Spool {
    group: Group,
    group_id: GroupId,
    /// Handed over and not settled, oldest first.
    in_flight: VecDeque<GroupId>,
    in_flight_bytes: usize,
    settings: SpoolSettings,
    commands: Option<SyncSender<Command>>,
    /// In a mutex only so that the value may be shared between threads; never locked, `&mut self` is enough.
    done: Mutex<Receiver<Done>>,
    event: Arc<OwnedFd>,
    inventory: Arc<Inventory>,
    tally: Arc<Tally>,
    folder: Arc<SpoolFolder>,
    thread: Option<JoinHandle<()>>,
}

impl Spool {
    /// Takes `folder` for this process and starts the writer thread.
    ///
    /// # Errors
    /// When the folder cannot be created or is another process's, or the system refuses an eventfd or a thread.
    pub fn start(folder: &Path, settings: SpoolSettings) -> io::Result<Spool> {
        Spool::start_on(DiskFiles, folder, settings)
    }

    fn start_on<F>(files: F, folder: &Path, settings: SpoolSettings) -> io::Result<Spool>
    where
        F: Files<File: Send> + Send + 'static,
    {
        let folder = Arc::new(SpoolFolder::create(folder)?);
        let event = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (inventory, tally) = (Arc::new(Inventory::default()), Arc::new(Tally::default()));
        let writer = SegmentWriter::new(
            files,
            folder.path().to_path_buf(),
            settings,
            random_ids()?,
            Arc::clone(&inventory),
            Arc::clone(&tally),
        );
        let (commands, received) = sync_channel(GROUPS_IN_FLIGHT_MAX + OTHER_COMMANDS_MAX);
        let (report, done) = channel();
        let end = EndSignal(Arc::clone(&event));
        let thread = std::thread::Builder::new().name("spool-writer".to_owned()).spawn(move || {
            // Locals go in reverse order, also in a panic: the signal comes when both channels are closed.
            let end = end;
            let (received, report, mut writer) = (received, report, writer);
            run_writer(&mut writer, &received, &report, &end.0);
        })?;
        Ok(Spool {
            group: Group::default(),
            group_id: 1,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            settings,
            commands: Some(commands),
            done: Mutex::new(done),
            event,
            inventory,
            tally,
            folder,
            thread: Some(thread),
        })
    }

    /// The number of the open group: what hits appended now wait for.
    #[must_use]
    pub fn open_group(&self) -> GroupId {
        self.group_id
    }

    /// Hands the open group to the writer thread, unless it is empty or enough groups are under way: then the group
    /// stays open and the next `take_done` is the time to call again. Under `Durability::Power` one sync at a time is
    /// under way, so that the next one covers all that came meanwhile.
    pub fn commit(&mut self) {
        let groups_max = match self.settings.durability {
            Durability::Process => GROUPS_IN_FLIGHT_MAX,
            Durability::Power => 1,
        };
        if self.in_flight.len() < groups_max {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        if self.group.is_empty() {
            return;
        }
        let (group, bytes) = (self.group_id, self.group.bytes());
        self.group_id += 1;
        self.in_flight.push_back(group);
        self.in_flight_bytes += bytes;
        let command = Command::Write { group, arenas: self.group.take() };
        if self.commands.as_ref().is_none_or(|commands| commands.send(command).is_err()) {
            // The writer thread has ended: `take_done` fails the group.
            signal(&self.event);
        }
    }

    /// Readable while `take_done` has something.
    #[must_use]
    pub fn completion_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    /// The groups that were settled since the last call, in order, and whether each was written.
    pub fn take_done(&mut self, out: &mut Vec<(GroupId, bool)>) {
        let mut counter = [0; 8];
        // Nothing to read is no error: the call may come without a signal.
        let _ = rustix::io::read(&*self.event, &mut counter);
        let settled = self.done.get_mut().unwrap_or_else(PoisonError::into_inner);
        loop {
            match settled.try_recv() {
                Ok(done) => {
                    let bytes: usize = done.arenas.iter().map(|arena| arena.bytes.len()).sum();
                    self.in_flight.pop_front();
                    self.in_flight_bytes = self.in_flight_bytes.saturating_sub(bytes);
                    self.group.recycle(done.arenas);
                    out.push((done.group, done.is_written));
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => break,
            }
        }
        // The writer thread has ended, by `close` or by a panic: nobody will settle the rest, and nobody may wait for it.
        out.extend(self.in_flight.drain(..).map(|group| (group, false)));
        self.in_flight_bytes = 0;
    }

    /// Takes new settings, in force from the next group on.
    pub fn set_settings(&mut self, settings: SpoolSettings) {
        self.settings = settings;
        self.send(Command::Settings(settings));
    }

    /// Seals every open segment, after the groups under way.
    pub fn seal_all(&mut self) {
        self.send(Command::SealAll);
    }

    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // Without a writer thread there is nothing to set or to seal; `is_alive` tells.
            let _ = commands.send(command);
        }
    }

    /// Whether the writer thread runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Groups and bytes handed over and not settled.
    #[must_use]
    pub fn in_flight(&self) -> (usize, usize) {
        (self.in_flight.len(), self.in_flight_bytes)
    }

    /// The flusher's end, for other threads.
    #[must_use]
    pub fn sealed_end(&self) -> SealedEnd {
        SealedEnd {
            inventory: Arc::clone(&self.inventory),
            tally: Arc::clone(&self.tally),
            folder: Arc::clone(&self.folder),
        }
    }

    /// Commits, seals everything, and ends the writer thread. The groups' fates are still to be taken.
    pub fn close(&mut self) {
        self.hand_over();
        self.send(Command::SealAll);
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the panic hook; its groups were never confirmed.
            let _ = thread.join();
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.close();
    }
}

impl RecordSink for Spool {
    fn room(&self) -> bool {
        let waiting_bytes = self.group.bytes() + self.in_flight_bytes;
        waiting_bytes < IN_FLIGHT_MAX_BYTES
            && self.inventory.bytes() + waiting_bytes as u64 <= self.settings.spool_max_bytes
            && self.is_alive()
    }

    fn append_hit(&mut self, shard: u32, record: &HitRecord<'_>) {
        self.group.append_hit(shard, record);
    }

    fn append_short(&mut self, record: &ShortRecord) {
        self.group.append_short(record);
    }
}

/// The flusher's end of a spool.
#[derive(Debug, Clone)]
pub struct SealedEnd {
    inventory: Arc<Inventory>,
    tally: Arc<Tally>,
    folder: Arc<SpoolFolder>,
}

impl SealedEnd {
    /// The next sealed segment; waits up to `timeout` for one.
    #[must_use]
    pub fn next_sealed(&self, timeout: Duration) -> Option<std::path::PathBuf> {
        self.inventory.next_sealed(timeout)
    }

    /// The segment is stored, or moved to quarantine: its file is removed if it is still there, durably, and its bytes
    /// are free again.
    ///
    /// # Errors
    /// When the file cannot be removed; it still counts then.
    pub fn discard(&self, path: &Path) -> io::Result<()> {
        match DiskFiles.unlink(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.inventory.released(path);
        self.tally.segment_discarded();
        if let Some(folder) = path.parent() {
            DiskFiles.sync_folder(folder)?;
        }
        Ok(())
    }

    /// The files' numbers.
    #[must_use]
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// The writer thread's numbers.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &SpoolFolder {
        &self.folder
    }
}

/// Wakes the loop when the writer thread ends, also by a panic: answers that wait for it must not hang.
struct EndSignal(Arc<OwnedFd>);

impl Drop for EndSignal {
    fn drop(&mut self) {
        signal(&self.0);
    }
}

/// The writer thread.
fn run_writer<F: Files>(
    writer: &mut SegmentWriter<F>,
    commands: &Receiver<Command>,
    report: &Sender<Done>,
    event: &OwnedFd,
) {
    let started = Instant::now();
    loop {
        let now = clock(started);
        let wait = writer
            .next_seal_at_ms(now)
            .map_or(IDLE_WAIT, |at_ms| Duration::from_millis(at_ms.saturating_sub(now.uptime_ms)));
        let mut next = match commands.recv_timeout(wait) {
            Ok(command) => Some(command),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let now = clock(started);
        let mut is_reported = false;
        // All that waits, then one signal for all of it.
        while let Some(command) = next {
            match command {
                Command::Write { group, mut arenas } => {
                    let is_written = writer.write_group(&mut arenas, now).is_ok();
                    is_reported |= report.send(Done { group, is_written, arenas }).is_ok();
                }
                Command::Settings(settings) => writer.set_settings(settings),
                Command::SealAll => writer.seal_all(),
            }
            next = commands.try_recv().ok();
        }
        if is_reported {
            signal(event);
        }
        writer.seal_due(now);
    }
    writer.seal_all();
}

fn clock(started: Instant) -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now {
        wall_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
        uptime_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

/// Wakes whoever watches the eventfd. A counter at its maximum is readable already.
fn signal(event: &OwnedFd) {
    let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
}

/// Segment ids from the system's randomness.
fn random_ids() -> io::Result<Box<dyn FnMut() -> io::Result<SegmentId> + Send>> {
    let mut source = File::open("/dev/urandom")?;
    Ok(Box::new(move || {
        let mut id = [0; ID_BYTES];
        io::Read::read_exact(&mut source, &mut id)?;
        Ok(SegmentId(id))
    }))
}

//! What each origin uses, counted against its limits.
//!
//! There is one [`Account`] per origin, shared by all its connections. It counts live objects, and the shared
//! memory that its buffers use ([`super::memory`]). The kinds of objects that windows are made of are counted one
//! by one as they come; all kinds together ([`MAX_OBJECTS`]) now and then, as requests come in.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smithay::reexports::wayland_server::backend::ObjectId;
use vitrail_protocols::{Guard, Limits};

use super::memory::MemoryBook;
use super::origin::Origin;
use super::pace::{Counts, Pace};
use super::rate::RateLimit;
use super::waiting::Waiting;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Connections.
    Clients,
    /// `wl_surface` objects.
    Surfaces,
    /// `xdg_toplevel` objects.
    Toplevels,
    /// `xdg_popup` objects.
    Popups,
    /// `wl_shm_pool` objects.
    Pools,
    /// `wl_buffer` objects.
    Buffers,
}

impl Resource {
    const COUNT: usize = 6;

    fn index(self) -> usize {
        match self {
            Self::Clients => 0,
            Self::Surfaces => 1,
            Self::Toplevels => 2,
            Self::Popups => 3,
            Self::Pools => 4,
            Self::Buffers => 5,
        }
    }

    fn limit(self, limits: &Limits) -> u32 {
        if !Guard::Counts.holds() {
            return u32::MAX;
        }
        match self {
            Self::Clients => limits.clients,
            Self::Surfaces => limits.surfaces,
            Self::Toplevels => limits.toplevels,
            Self::Popups => limits.popups,
            Self::Pools => limits.pools,
            Self::Buffers => limits.buffers,
        }
    }
}

/// A limit of an origin was reached. The client that reached it is ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Too many live objects of one kind.
    #[error("The limit of {limit} live {resource:?} is reached")]
    Count {
        /// What was asked for.
        resource: Resource,
        /// How many there may be.
        limit: u32,
    },
    /// Too much shared memory.
    #[error("The limit of {limit_mib} MiB of shared memory is reached")]
    Memory {
        /// How much there may be.
        limit_mib: u32,
    },
    /// Too many live objects of all kinds together.
    #[error("The limit of {MAX_OBJECTS} live objects is reached")]
    Objects,
}

/// Live objects of all kinds that all clients of one origin may have together. What has no limit of its own
/// (regions, positioners, callbacks, viewports, feedback, offers) ends here; honest applications have hundreds.
pub const MAX_OBJECTS: u32 = 1 << 16;

/// Pictures of icons that are copied for all clients of one origin in ten seconds; each has at most 256 KiB.
pub const MAX_ICON_COPIES: u32 = 200;

#[derive(Debug, Default)]
struct Usage {
    counts: [u32; Resource::COUNT],
    memory: MemoryBook<ObjectId>,
    /// What the graphics card keeps of pictures, in bytes.
    textures: u64,
    /// Live objects of all kinds, as they were last counted.
    objects: u32,
    /// Bells that rang.
    bells: u32,
}

/// What one origin uses and may use.
#[derive(Debug)]
pub struct Account {
    log: Mutex<RateLimit>,
    bell: Mutex<RateLimit>,
    icons: Mutex<RateLimit<MAX_ICON_COPIES>>,
    limits: Mutex<Limits>,
    usage: Mutex<Usage>,
    waiting: Waiting,
    pace: Mutex<Pace>,
    /// Something wakes the compositor when the origin has waited long enough.
    waking: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The data is counters; a panic elsewhere leaves them usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Account {
    fn new(limits: Limits) -> Self {
        Self {
            log: Mutex::default(),
            bell: Mutex::default(),
            icons: Mutex::default(),
            limits: Mutex::new(limits),
            usage: Mutex::default(),
            waiting: Waiting::default(),
            pace: Mutex::default(),
            waking: AtomicBool::new(false),
        }
    }

    /// Whether the origin may cause one more line in the log now.
    #[must_use]
    pub fn may_log(&self) -> bool {
        lock(&self.log).allow()
    }

    /// Whether a bell of the origin rings now; it is counted if so.
    #[must_use]
    pub fn ring(&self) -> bool {
        let rings = lock(&self.bell).allow();
        if rings {
            let mut usage = lock(&self.usage);
            usage.bells = usage.bells.saturating_add(1);
        }
        rings
    }

    /// Whether a picture of an icon is copied for the origin now.
    #[must_use]
    pub fn may_copy_icon(&self) -> bool {
        lock(&self.icons).allow()
    }

    /// How often the bell of the origin has rung.
    #[must_use]
    pub fn bells(&self) -> u32 {
        lock(&self.usage).bells
    }

    /// What was committed and waits.
    #[must_use]
    pub fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Takes note of a commit at `now`, a time since the start, that damages so many rectangles.
    pub fn note_commit(&self, now: Duration, damage: u32) {
        let limits = lock(&self.limits);
        let limits = Counts { commits: limits.commits_per_second, damage: limits.damage_per_second };
        lock(&self.pace).commit(now, damage, limits);
    }

    /// How long nothing is read of the origin's clients, at `now`; `None` if they need not wait.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Option<Duration> {
        lock(&self.pace).wait(now)
    }

    /// The origin has to wait; true if nothing is there yet that wakes the compositor when it has.
    #[must_use]
    pub fn begin_wait(&self) -> bool {
        let first = !self.waking.swap(true, Ordering::Relaxed);
        if first {
            lock(&self.pace).note_wait();
        }
        first
    }

    /// The origin has waited long enough.
    pub fn end_wait(&self) {
        self.waking.store(false, Ordering::Relaxed);
    }

    /// Commits and damage of the last whole second before `now`, and how often the origin had to wait.
    #[must_use]
    pub fn pace(&self, now: Duration) -> (Counts, u32) {
        let mut pace = lock(&self.pace);
        (pace.last_second(now), pace.waits())
    }

    /// Live objects of all kinds, as they were last counted.
    #[must_use]
    pub fn objects(&self) -> u32 {
        lock(&self.usage).objects
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> Limits {
        lock(&self.limits).clone()
    }

    /// How much of a resource is in use.
    #[must_use]
    pub fn used(&self, resource: Resource) -> u32 {
        lock(&self.usage).counts.get(resource.index()).copied().unwrap_or(0)
    }

    /// Counts one more object.
    ///
    /// # Errors
    ///
    /// If the limit is reached; then nothing is counted.
    pub fn take(&self, resource: Resource) -> Result<(), LimitError> {
        let limit = resource.limit(&lock(&self.limits));
        let mut usage = lock(&self.usage);
        if let Some(count) = usage.counts.get_mut(resource.index()) {
            if *count >= limit {
                return Err(LimitError::Count { resource, limit });
            }
            *count += 1;
        }
        Ok(())
    }

    /// Counts one more object that exists already, whatever the limit; its client is being ended.
    pub fn take_anyway(&self, resource: Resource) {
        if let Some(count) = lock(&self.usage).counts.get_mut(resource.index()) {
            *count = count.saturating_add(1);
        }
    }

    /// Counts one object less.
    pub fn give_back(&self, resource: Resource) {
        if let Some(count) = lock(&self.usage).counts.get_mut(resource.index()) {
            *count = count.saturating_sub(1);
        }
    }

    /// Enters that a client has `now` objects instead of `before`.
    ///
    /// # Errors
    ///
    /// If the origin has more than [`MAX_OBJECTS`]; they are entered all the same.
    pub fn change_objects(&self, before: u32, now: u32) -> Result<(), LimitError> {
        let mut usage = lock(&self.usage);
        usage.objects = usage.objects.saturating_sub(before).saturating_add(now);
        if usage.objects > MAX_OBJECTS && Guard::Counts.holds() { Err(LimitError::Objects) } else { Ok(()) }
    }

    /// Shared memory that the origin's buffers use, in bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        lock(&self.usage).memory.total()
    }

    /// Counts a new pool of this size in bytes.
    ///
    /// # Errors
    ///
    /// If there are too many pools; then nothing is counted.
    pub fn open_pool(&self, pool: ObjectId, bytes: u64) -> Result<(), LimitError> {
        self.take(Resource::Pools)?;
        lock(&self.usage).memory.set_pool(pool, bytes);
        Ok(())
    }

    /// Notes a pool's new size in bytes.
    pub fn grow_pool(&self, pool: ObjectId, bytes: u64) {
        lock(&self.usage).memory.set_pool(pool, bytes);
    }

    /// The size of a live pool, in bytes.
    #[must_use]
    pub fn pool(&self, pool: &ObjectId) -> Option<u64> {
        lock(&self.usage).memory.pool(pool)
    }

    /// A pool was destroyed; its buffers count as long as they live. One that was refused was not counted.
    pub fn close_pool(&self, pool: &ObjectId) {
        let counted = lock(&self.usage).memory.close_pool(pool);
        if counted {
            self.give_back(Resource::Pools);
        }
    }

    /// Counts a new buffer of this size in bytes.
    ///
    /// # Errors
    ///
    /// If there are too many buffers, or they would use too much memory; then nothing is counted.
    pub fn add_buffer(&self, buffer: ObjectId, bytes: u64) -> Result<(), LimitError> {
        let limit_mib = if Guard::Counts.holds() { lock(&self.limits).shm_mib } else { u32::MAX };
        if self.memory().saturating_add(bytes) > u64::from(limit_mib) << 20 {
            return Err(LimitError::Memory { limit_mib });
        }
        self.take(Resource::Buffers)?;
        lock(&self.usage).memory.add_buffer(buffer, bytes);
        Ok(())
    }

    /// Enters that what the graphics card keeps of a picture uses `now` bytes instead of `before`.
    ///
    /// # Errors
    ///
    /// If the card would keep more for the origin than its buffers may use; then nothing is entered.
    pub fn change_textures(&self, before: u64, now: u64) -> Result<(), LimitError> {
        let limit_mib = lock(&self.limits).shm_mib;
        let mut usage = lock(&self.usage);
        let textures = usage.textures.saturating_sub(before).saturating_add(now);
        if now > before && textures > u64::from(limit_mib) << 20 {
            return Err(LimitError::Memory { limit_mib });
        }
        usage.textures = textures;
        Ok(())
    }

    /// A buffer was destroyed. One that was refused was not counted.
    pub fn drop_buffer(&self, buffer: &ObjectId) {
        let counted = lock(&self.usage).memory.drop_buffer(buffer);
        if counted {
            self.give_back(Resource::Buffers);
        }
    }
}

/// The accounts of all origins. Bounded by the configuration: an origin that is not configured gets none.
#[derive(Debug, Default)]
pub struct Accounts {
    by_origin: HashMap<Origin, Arc<Account>>,
}

impl Accounts {
    /// The account of an origin, opened with these limits if it is new.
    pub fn open(&mut self, origin: &Origin, limits: Limits) -> Arc<Account> {
        let account = self.by_origin.entry(origin.clone()).or_insert_with(|| Arc::new(Account::new(limits)));
        Arc::clone(account)
    }

    /// The account of an origin, if it ever had a client.
    #[must_use]
    pub fn get(&self, origin: &Origin) -> Option<&Arc<Account>> {
        self.by_origin.get(origin)
    }

    /// Puts new limits in force, after the configuration was reloaded. What is in use already stays.
    pub fn set_limits(&mut self, limits: impl Fn(&Origin) -> Limits) {
        for (origin, account) in &self.by_origin {
            *lock(&account.limits) = limits(origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(limits: Limits) -> Arc<Account> {
        Accounts::default().open(&Origin::Local, limits)
    }

    #[test]
    fn a_count_ends_at_its_limit_and_can_be_given_back() {
        let account = account(Limits { toplevels: 2, ..Limits::default() });
        assert_eq!(account.take(Resource::Toplevels), Ok(()));
        assert_eq!(account.take(Resource::Toplevels), Ok(()));
        assert_eq!(
            account.take(Resource::Toplevels),
            Err(LimitError::Count { resource: Resource::Toplevels, limit: 2 })
        );
        account.give_back(Resource::Toplevels);
        assert_eq!(account.take(Resource::Toplevels), Ok(()));
        assert_eq!(account.take(Resource::Popups), Ok(()));
    }
}

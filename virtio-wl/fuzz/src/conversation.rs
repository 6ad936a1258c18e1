//! A second implementation of the rules, from sections 2 and 3 of `docs/wire.md`: who may send which frame when.
//!
//! A conversation is judged as it passes a point between both ends. A side acts only on what has reached it, which has
//! passed that point before, so whatever a correct side sends is legal here too, however much is under way.

use std::collections::BTreeMap;

use super::reference::{Hello, Kind, Message};

/// What a frame breaks.
pub type Breach = &'static str;

/// A VFD that no DATA has named.
#[derive(Debug)]
enum Unnamed {
    Blob { length: u64, received: u64 },
    Other,
}

/// What one side has sent.
#[derive(Debug)]
struct Side {
    hello: Hello,
    last_id: u32,
    ended: bool,
    /// What it may still send of data and blob content.
    window: u64,
    unnamed: BTreeMap<u32, Unnamed>,
    mirrors: BTreeMap<u32, u64>,
}

/// One direction of a pipe or socket.
#[derive(Debug)]
struct Lane {
    /// What the source may still send.
    window: u64,
    ended: bool,
    stopped: bool,
}

/// A pipe or socket until both last frames have passed in each of its directions.
#[derive(Debug)]
struct Pipe {
    announced_by: usize,
    /// The directions by their source: one of a pipe, both of a socket.
    lanes: [Option<Lane>; 2],
}

/// Everything that has been said.
#[derive(Debug)]
pub struct Conversation {
    sides: [Side; 2],
    pipes: BTreeMap<u32, Pipe>,
    region: u64,
}

impl Conversation {
    /// After the hellos of both sides. `region` is the length of the region that they share.
    #[must_use]
    pub fn new(hellos: [Hello; 2], region: u64) -> Self {
        let [one, other] = hellos;
        let side = |hello: Hello, peer: Hello| Side {
            hello,
            last_id: 0,
            ended: false,
            window: peer.data_window.into(),
            unnamed: BTreeMap::new(),
            mirrors: BTreeMap::new(),
        };
        Self { sides: [side(one, other), side(other, one)], pipes: BTreeMap::new(), region }
    }

    /// The pipes and sockets that exist, of which side `source` is a source.
    pub fn pipes(&self, source: usize) -> impl Iterator<Item = u32> {
        self.pipes.iter().filter(move |(_, pipe)| pipe.lanes[source].is_some()).map(|(id, _)| *id)
    }

    /// What side `from` may name in a DATA, or in BLOB_DATA and MIRROR_WRITE.
    pub fn vfds(&self, from: usize) -> impl Iterator<Item = u32> {
        let side = &self.sides[from];
        side.unnamed.keys().chain(side.mirrors.keys()).copied()
    }

    /// The next identifier of a side.
    #[must_use]
    pub fn next_id(&self, from: usize) -> u32 {
        match self.sides[from].last_id {
            0 if self.sides[from].hello.acceptor => 2,
            0 => 1,
            last => last.wrapping_add(2),
        }
    }

    /// Whether both sides have sent DATA_END and no pipe is left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.sides.iter().all(|side| side.ended) && self.pipes.is_empty()
    }

    /// Side `from` says `message`.
    ///
    /// # Errors
    ///
    /// The rule that it breaks; nothing may follow.
    pub fn pass(&mut self, from: usize, message: &Message) -> Result<(), Breach> {
        match message {
            Message::Data { ids, bytes } => {
                self.before_end(from)?;
                self.spend(from, 4096 * ids.len() as u64 + bytes.len() as u64)?;
                ids.iter().try_for_each(|id| self.name(from, *id))
            }
            Message::DataCredit { bytes } => {
                let largest = u64::from(self.sides[from].hello.data_window);
                let window = &mut self.sides[1 - from].window;
                *window += u64::from(*bytes);
                within(*window <= largest, "DATA_CREDIT beyond the initial window")
            }
            Message::DataEnd => {
                self.before_end(from)?;
                self.sides[from].ended = true;
                self.sides[from].unnamed.clear();
                Ok(())
            }
            Message::DataStop => Ok(()),
            Message::VfdNew { id, kind } => self.announce(from, *id, *kind),
            Message::BlobData { id, bytes } => self.blob(from, *id, bytes.len() as u64),
            Message::PipeData { id, bytes } => {
                let lane = self.source(from, *id)?;
                within(lane.window >= bytes.len() as u64, "PIPE_DATA beyond the window")?;
                lane.window -= bytes.len() as u64;
                Ok(())
            }
            Message::PipeCredit { id, bytes } => {
                let largest = u64::from(self.sides[from].hello.pipe_window);
                let lane = self.sink(from, *id)?;
                lane.window += u64::from(*bytes);
                within(lane.window <= largest, "PIPE_CREDIT beyond the initial window")
            }
            Message::PipeEnd { id } => {
                self.source(from, *id)?.ended = true;
                self.finish(*id);
                Ok(())
            }
            Message::PipeStop { id } => {
                self.sink(from, *id)?.stopped = true;
                self.finish(*id);
                Ok(())
            }
            Message::MirrorWrite { id, row_length, stride, rows, offset, .. } => {
                self.before_end(from)?;
                let length = self.sides[from].mirrors.get(id).ok_or("MIRROR_WRITE without a mirror")?;
                let before = u128::from(*stride) * u128::from(rows.saturating_sub(1));
                let end = u128::from(*offset) + before + u128::from(*row_length);
                within(end <= u128::from(*length), "MIRROR_WRITE outside the mirror")
            }
            Message::MirrorClose { id } => {
                self.before_end(from)?;
                self.sides[from].mirrors.remove(id).map(drop).ok_or("MIRROR_CLOSE without a mirror")
            }
        }
    }

    fn before_end(&self, from: usize) -> Result<(), Breach> {
        within(!self.sides[from].ended, "after DATA_END")
    }

    fn spend(&mut self, from: usize, cost: u64) -> Result<(), Breach> {
        let window = &mut self.sides[from].window;
        *window = window.checked_sub(cost).ok_or("beyond the data window")?;
        Ok(())
    }

    fn name(&mut self, from: usize, id: u32) -> Result<(), Breach> {
        let side = &mut self.sides[from];
        if side.mirrors.contains_key(&id) {
            return Ok(());
        }
        match side.unnamed.remove(&id) {
            None => Err("DATA names a VFD that is not there"),
            Some(Unnamed::Blob { length, received }) if received < length => Err("DATA names half a blob"),
            Some(_) => Ok(()),
        }
    }

    fn announce(&mut self, from: usize, id: u32, kind: Kind) -> Result<(), Breach> {
        self.before_end(from)?;
        let peer = self.sides[1 - from].hello;
        let announced = self.pipes.values().filter(|pipe| pipe.announced_by == from).count();
        let side = &mut self.sides[from];
        within(id.is_multiple_of(2) == side.hello.acceptor, "identifier of the wrong side")?;
        within(id > side.last_id, "identifier out of order")?;
        side.last_id = id;
        if let Kind::Mirror { length } = kind {
            side.mirrors.insert(id, length);
            within(side.mirrors.len() <= peer.max_mirrors.into(), "too many mirrors")?;
            let together: u64 = side.mirrors.values().sum();
            return within(together <= u64::from(peer.max_mirror_pages) * 4096, "mirrors too long");
        }
        within(side.unnamed.len() < 28, "too many unnamed VFDs")?;
        match kind {
            Kind::Region { offset, length } => {
                within(peer.region, "no region is shared")?;
                within(offset + length <= self.region, "outside the region")?;
                side.unnamed.insert(id, Unnamed::Other);
            }
            Kind::Blob { length } => {
                side.unnamed.insert(id, Unnamed::Blob { length, received: 0 });
                let lengths = side.unnamed.values().map(|vfd| match vfd {
                    Unnamed::Blob { length, .. } => *length,
                    Unnamed::Other => 0,
                });
                within(lengths.sum::<u64>() <= peer.max_blob.into(), "blobs too long together")?;
            }
            Kind::Pipe { write_end } => {
                within(announced < peer.max_pipes.into(), "too many pipes")?;
                side.unnamed.insert(id, Unnamed::Other);
                self.open(from, id, [write_end == (from == 1), write_end == (from == 0)]);
            }
            Kind::Socket => {
                within(peer.sockets, "no sockets are taken")?;
                within(announced < peer.max_pipes.into(), "too many pipes")?;
                side.unnamed.insert(id, Unnamed::Other);
                self.open(from, id, [true, true]);
            }
            Kind::Mirror { .. } => {}
        }
        Ok(())
    }

    /// A pipe or socket begins. `sources` says which sides are a source.
    fn open(&mut self, announced_by: usize, id: u32, sources: [bool; 2]) {
        let window = |source: usize| self.sides[1 - source].hello.pipe_window.into();
        let lane = |source: usize| Lane { window: window(source), ended: false, stopped: false };
        let lanes = [sources[0].then(|| lane(0)), sources[1].then(|| lane(1))];
        self.pipes.insert(id, Pipe { announced_by, lanes });
    }

    fn blob(&mut self, from: usize, id: u32, bytes: u64) -> Result<(), Breach> {
        self.before_end(from)?;
        self.spend(from, bytes)?;
        match self.sides[from].unnamed.get_mut(&id) {
            Some(Unnamed::Blob { length, received }) => {
                *received += bytes;
                within(received <= length, "blob longer than announced")
            }
            _ => Err("BLOB_DATA without a blob"),
        }
    }

    /// What a frame from a source is about.
    fn source(&mut self, from: usize, id: u32) -> Result<&mut Lane, Breach> {
        let lane = self.pipes.get_mut(&id).and_then(|pipe| pipe.lanes[from].as_mut());
        lane.filter(|lane| !lane.ended).ok_or("frame of a source without a pipe")
    }

    /// What a frame from a sink is about.
    fn sink(&mut self, from: usize, id: u32) -> Result<&mut Lane, Breach> {
        let lane = self.pipes.get_mut(&id).and_then(|pipe| pipe.lanes[1 - from].as_mut());
        lane.filter(|lane| !lane.stopped).ok_or("frame of a sink without a pipe")
    }

    fn finish(&mut self, id: u32) {
        let over = |pipe: &Pipe| pipe.lanes.iter().flatten().all(|lane| lane.ended && lane.stopped);
        if self.pipes.get(&id).is_some_and(over) {
            self.pipes.remove(&id);
        }
    }
}

fn within(holds: bool, rule: Breach) -> Result<(), Breach> {
    if holds { Ok(()) } else { Err(rule) }
}

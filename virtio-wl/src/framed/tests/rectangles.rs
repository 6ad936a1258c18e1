//! Rectangles of mirrors against a model, over a wire that cuts the stream into pieces.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Length of the mirror, and of the part of it that is written.
const LEN: u64 = 64 << 20;
const WINDOW: u64 = 768 << 10;

/// Two sockets, and between them a wire that passes on a few bytes at a time.
struct CutWire {
    one: FramedSocket,
    two: FramedSocket,
    ends: [UnixStream; 2],
    piece: usize,
}

impl CutWire {
    fn new(piece: usize, receiver: SocketOptions) -> Self {
        let (left, left_end) = UnixStream::pair().expect("socket pair");
        let (right, right_end) = UnixStream::pair().expect("socket pair");
        for end in [&left_end, &right_end] {
            end.set_nonblocking(true).expect("set");
        }
        // The smallest there is, so that many writes are taken in part.
        rustix::net::sockopt::set_socket_send_buffer_size(&left, 1).expect("set");
        let one = FramedSocket::new(left.into(), Role::Initiator, options()).expect("valid options");
        let two = FramedSocket::new(right.into(), Role::Acceptor, receiver).expect("valid options");
        Self { one, two, ends: [left_end, right_end], piece }
    }

    /// Passes on one piece in each direction and dispatches both sockets.
    fn step(&mut self) {
        for (from, to) in [(0, 1), (1, 0)] {
            let mut bytes = vec![0; self.piece];
            if let Ok(len) = (&self.ends[from]).read(&mut bytes) {
                let mut rest = &bytes[..len];
                while !rest.is_empty() {
                    match (&self.ends[to]).write(rest) {
                        Ok(len) => rest = &rest[len..],
                        Err(_) => self.two.dispatch().expect("alive"),
                    }
                }
            }
        }
        self.one.dispatch().expect("alive");
        self.two.dispatch().expect("alive");
    }

    fn until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < DEADLINE, "timed out");
            self.step();
        }
    }
}

fn any_rect() -> impl Strategy<Value = MirrorRect> {
    let row_len = prop_oneof![1_u32..40, 200_u32..5000, 5000_u32..70_000];
    let gap = prop_oneof![Just(0_u32), 1_u32..20, 1000_u32..10_000];
    (row_len, gap, 1_u32..40, 0..WINDOW).prop_map(|(row_len, gap, rows, offset)| {
        let stride = row_len + gap;
        let offset = offset.min(WINDOW - u64::from(row_len));
        let fitting = (WINDOW - offset - u64::from(row_len)) / u64::from(stride) + 1;
        MirrorRect { offset, row_len, stride, rows: rows.min(u32::try_from(fitting).expect("small")) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_mirror_is_what_was_written_to_it_however_the_stream_is_cut(
        rects in vec((any_rect(), any::<bool>()), 1..12),
        piece in prop_oneof![20_usize..100, 100_usize..5000, 5000_usize..100_000],
        is_mapped: bool,
    ) {
        // The end of a long mirror is more address space than such a budget has.
        let base = if is_mapped { 4096 } else { LEN - WINDOW };
        let budget = MirrorBudget::new(1 << 20);
        let receiver = SocketOptions { mirror_budget: Some(Arc::clone(&budget)), ..options() };
        let mut wire = CutWire::new(piece, receiver);
        wire.until(|wire| wire.one.is_open() && wire.two.is_open());
        let memory = Arc::new(Region::create_memfd(LEN).expect("memory"));
        let mut model = vec![0; usize::try_from(WINDOW).expect("small")];
        let (mut sent, mut received, mut fds) = (0, 0, Vec::new());
        for (index, (rect, with_message)) in rects.into_iter().enumerate() {
            let row_len = usize::try_from(rect.row_len).expect("small");
            for offset in crate::region::row_offsets(rect) {
                let row = vec![u8::try_from(index + 1).expect("few"); row_len];
                memory.write(base + offset, &row).expect("within");
                let begin = usize::try_from(offset).expect("small");
                model[begin..begin + row_len].copy_from_slice(&row);
            }
            let rect = MirrorRect { offset: base + rect.offset, ..rect };
            wire.one.mirror_write(&memory, rect).expect("queued");
            if with_message {
                sent += wire.one.sendmsg(b"message", &[]).expect("there is room");
                wire.step();
            }
        }
        prop_assert_eq!(wire.one.sendmsg(b"x", &[memory.as_fd()]), Ok(1));
        wire.until(|wire| {
            let mut buffer = [0; 256];
            while let Ok(len) = wire.two.recvmsg(&mut buffer, &mut fds) {
                received += len;
            }
            received == sent + 1
        });
        let mut content = vec![0; model.len()];
        File::from(fds.remove(0).fd).read_exact_at(&mut content, base).expect("read");
        prop_assert!(content == model);
        prop_assert!(budget.used() <= budget.limit());
    }
}

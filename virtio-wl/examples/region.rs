//! Looks at a region, and reads and writes it: for setting up a machine, and for finding out why it does not work.
//!
//! ```text
//! region inspect PATH|fd:N              what it is, and the challenge in its header
//! region find CHALLENGE PATH...         which of these has the challenge (64 hexadecimal digits); several are refused
//! region create PATH MIB                make a file a region (the hub does this by itself)
//! region create-pmem PATH MIB           make a file that is a devdax device to a VM that gets it as virtio-pmem
//! region write PATH|fd:N OFFSET TEXT    put TEXT at OFFSET
//! region read PATH|fd:N OFFSET LENGTH   print what is there
//! ```
//!
//! PATH may be a file, a devdax device (`/dev/dax0.0`) or the resource of an ivshmem device
//! (`/sys/bus/pci/devices/…/resource2_wc`). Offsets count from the beginning of the region; the first 4096 bytes are its
//! header.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use virtio_wl::Region;
use virtio_wl::region::{CHALLENGE_LEN, HEADER_LEN};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("region: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<(), Box<dyn Error>> {
    match words {
        ["inspect", region] => inspect(&Region::open_argument(region)?),
        ["find", challenge, candidates @ ..] => {
            inspect(&Region::find(candidates.iter().map(PathBuf::from), &parse_challenge(challenge)?)?)
        }
        ["create", path, mib] => {
            let len = mib.parse::<u64>()?.checked_mul(1 << 20).ok_or("so much memory cannot be")?;
            inspect(&Region::create(Path::new(path), len)?)
        }
        ["create-pmem", path, mib] => {
            let len = mib.parse::<u64>()?.checked_mul(1 << 20).ok_or("so much memory cannot be")?;
            inspect(&Region::create_pmem(Path::new(path), len)?)
        }
        ["write", region, offset, text] => {
            let (region, offset) = (Region::open_argument(region)?, offset.parse()?);
            if offset < HEADER_LEN {
                return Err("the header belongs to the hub".into());
            }
            Ok(region.write(offset, text.as_bytes())?)
        }
        ["read", region, offset, len] => {
            let region = Region::open_argument(region)?;
            let mut bytes = vec![0; len.parse::<usize>()?.min(usize::try_from(region.len())?)];
            region.read_into(offset.parse()?, &mut bytes)?;
            Ok(std::io::stdout().write_all(&bytes)?)
        }
        _ => {
            Err("inspect REGION | find CHALLENGE PATH... | create PATH MIB | write REGION OFFSET TEXT | read REGION OFFSET LENGTH"
                .into())
        }
    }
}

fn parse_challenge(text: &str) -> Result<[u8; CHALLENGE_LEN], Box<dyn Error>> {
    let digits = text.bytes().map(|byte| char::from(byte).to_digit(16)).collect::<Option<Vec<u32>>>();
    let digits = digits.ok_or("a challenge has hexadecimal digits only")?;
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |sum, &digit| sum * 16 + digit as u8)).collect();
    bytes.try_into().map_err(|_| "a challenge has 64 digits".into())
}

fn inspect(region: &Region) -> Result<(), Box<dyn Error>> {
    let challenge: String = region.challenge()?.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("backing    {}", region.backing());
    println!("length     {}", region.len());
    println!("begins at  {}", region.start());
    println!("mapped in  {}", region.alignment());
    println!("challenge  {challenge}");
    Ok(())
}

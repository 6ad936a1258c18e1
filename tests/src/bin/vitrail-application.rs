//! Runs one application of the table through the whole chain: `cargo xtask apps` runs one after the other with it.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use vitrail_tests::applications::{run, table};

/// Starts an application in a VM, drives it as the table says, and checks how it answers and ends.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Which one.
    name: String,
    /// Where pictures of the screen are written.
    #[arg(long, value_name = "DIR")]
    pictures: PathBuf,
    /// Where its packages are unpacked, if they are of another release than the machine's.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let applications = table::applications();
    let found = applications.iter().find(|application| application.name == arguments.name);
    let application = found.with_context(|| format!("there is no {} in the table", arguments.name))?;
    run(application, Some(&arguments.pictures), arguments.root.as_deref());
    Ok(())
}

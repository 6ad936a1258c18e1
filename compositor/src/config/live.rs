//! The configuration of a running compositor, which survives a bad edit.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Config, ConfigError};

/// The last good configuration, and the error of the last reload if it failed.
#[derive(Debug)]
pub struct Live {
    path: Option<PathBuf>,
    current: Arc<Config>,
    error: Option<ConfigError>,
}

impl Live {
    /// Starts with the configuration in a file.
    ///
    /// # Errors
    ///
    /// As [`Config::load`]: there is no last good one yet, so the first must be good.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let current = Arc::new(Config::load(path)?);
        Ok(Self { path: Some(path.to_owned()), current, error: None })
    }

    /// Starts with a configuration that is in no file; reloading it changes nothing.
    #[must_use]
    pub fn fixed(config: Config) -> Self {
        Self { path: None, current: Arc::new(config), error: None }
    }

    /// The configuration in force.
    #[must_use]
    pub fn current(&self) -> &Arc<Config> {
        &self.current
    }

    /// The file that reloads read.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Why the last reload failed; `None` once one has succeeded.
    #[must_use]
    pub fn error(&self) -> Option<&ConfigError> {
        self.error.as_ref()
    }

    /// Reads the file again. Nothing changes if that fails, except that [`Live::error`] says why.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn reload(&mut self) -> Result<(), &ConfigError> {
        let Some(path) = &self.path else { return Ok(()) };
        match Config::load(path) {
            Ok(config) => {
                self.current = Arc::new(config);
                self.error = None;
                Ok(())
            }
            Err(error) => Err(self.error.insert(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::DEFAULT_CONFIG;

    #[test]
    fn a_bad_file_keeps_the_last_good_one_until_it_is_mended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vitrail.toml");
        fs::write(&path, DEFAULT_CONFIG).unwrap();
        let mut live = Live::load(&path).unwrap();
        let good = Arc::clone(live.current());

        fs::write(&path, "[vm.work]\ncolr = 1\n").unwrap();
        assert!(live.reload().is_err());
        assert!(Arc::ptr_eq(live.current(), &good));
        assert!(live.error().unwrap().one_line().contains("vitrail.toml:2: "));

        fs::write(&path, "[vm.other]\ncolor = \"#123456\"\n").unwrap();
        live.reload().unwrap();
        assert!(live.error().is_none());
        assert_eq!(live.current().vms.len(), 1);
    }

    #[test]
    fn a_file_that_vanishes_keeps_the_last_good_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vitrail.toml");
        fs::write(&path, DEFAULT_CONFIG).unwrap();
        let mut live = Live::load(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(matches!(live.reload(), Err(ConfigError::Read { .. })));
        assert_eq!(live.current().vms.len(), 3);
    }
}

complete -c vitrail-session -l config -d 'The configuration, for the compositor too [default: vitrail/vitrail.toml in XDG_CONFIG_HOME, then /etc/vitrail/vitrail.toml, then the built-in one]' -r -F
complete -c vitrail-session -l socket -d 'Name of the socket for local programs, in XDG_RUNTIME_DIR [default: the first free wayland-N]' -r
complete -c vitrail-session -l compositor -d 'The compositor [default: vitrail beside this program, else in PATH]' -r -F
complete -c vitrail-session -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vitrail-session -s V -l version -d 'Print version'

complete -c wl-forward -l socket -d 'Name of the applications\' socket in XDG_RUNTIME_DIR [default: the first free wayland-N]' -r
complete -c wl-forward -l max-connections -d 'How many applications are served at a time; more wait until one ends' -r
complete -c wl-forward -l hub -d 'Address of the hub: unix:PATH, vsock:2:PORT or fd:N [default: unix:$XDG_RUNTIME_DIR/vitrail-hub.sock]' -r
complete -c wl-forward -l region -d 'Memory shared with the compositor: a file or device, fd:N, `auto` for the one device that is a region, or `none` [default: like auto, but without one pixels are sent through the connection]' -r -F
complete -c wl-forward -l dmabuf -d 'Lets applications draw with a graphics device of this VM, by zwp_linux_dmabuf_v1: DEVICE is its render node, `auto` the first one of /dev/dri, `none` none [default: none; just --dmabuf is auto]' -r -F
complete -c wl-forward -l explain -d 'Says which interfaces applications are offered here, or whether INTERFACE is and, if not, who withholds it' -r
complete -c wl-forward -l trace -d 'Writes every message to standard error, of all applications or of those whose command is COMMAND' -r -f -a "(__fish_complete_command)"
complete -c wl-forward -l client -d 'Serve just this connected application, and exit when it ends' -r
complete -c wl-forward -l upstream -d 'The stream for the application of --client, instead of dialling the hub' -r
complete -c wl-forward -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wl-forward -s V -l version -d 'Print version'

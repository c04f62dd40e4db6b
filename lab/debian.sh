# Debian packages of another version or architecture than this machine's, unpacked below target/vm and never installed:
# a kernel that is installed would be booted next. To be sourced at the top of the work tree, with `say` and `fail`.
debian_state=$PWD/target/vm/debian

# apt with lists and packages of its own, from the sources that this machine's has.
debian_apt() { # debian_apt ARCHITECTURE TOOL ARGUMENT...
  local state=$debian_state/$1
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
  "$2" -qq -o "Dir::State::lists=$state/lists" -o "Dir::Cache=$state/cache" -o Dir::State::status=/dev/null \
    -o "APT::Architecture=$1" -o "APT::Architectures::=$1" -o APT::Sandbox::User=root "${@:3}"
}

debian_update() { # debian_update ARCHITECTURE
  debian_apt "$1" apt-get update >&2 || fail "apt-get update for $1 failed; its words are above."
}

# The version that apt would take; nothing where it knows none.
debian_version() { # debian_version ARCHITECTURE PACKAGE
  debian_apt "$1" apt-cache show --no-all-versions "$2" 2>/dev/null | sed -n '/^Version: /{s///p;q}'
}

# Fetches packages, each PACKAGE or PACKAGE=VERSION, into a folder.
debian_fetch() { # debian_fetch ARCHITECTURE FOLDER PACKAGE...
  mkdir -p "$2"
  (cd "$2" && debian_apt "$1" apt-get download "${@:3}") >&2 ||
    fail "Debian's archive does not have ${*:3} for $1; apt's words are above."
}

# Unpacks all packages of a folder into another.
debian_unpack() { # debian_unpack FROM TO
  local package
  mkdir -p "$2"
  for package in "$1"/*.deb; do dpkg-deb -x "$package" "$2"; done
}

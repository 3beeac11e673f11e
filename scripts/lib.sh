# What scripts/run and scripts/test share.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# Where nft, kamailio and turnserver are, and who is not root does not look.
PATH=$PATH:/usr/sbin:/sbin

say() { printf '\033[1m== %s\033[0m\n' "$*" >&2; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

# debian PACKAGE...: installs those that are missing. What Debian starts with them would sit on our ports; what was there
# before stays as it was.
debian() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  say "installing ${missing[*]}"
  command -v apt-get >/dev/null || fail "Not a Debian system: install ${missing[*]} (or what they are called here) and start again."
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "Root is needed once, to install ${missing[*]}: install them and start again."
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
  [ -d /run/systemd/system ] || return 0
  for package in "${missing[@]}"; do
    case $package in
      coturn | kamailio) "${as_root[@]}" systemctl disable --now --quiet "$package" || true ;;
    esac
  done
}

# libopus and AWS-LC are built from the sources that their crates carry.
build_tools() {
  command -v cargo >/dev/null || fail "No Rust toolchain: https://rustup.rs installs one (1.89 or later)."
  command -v cc >/dev/null && command -v c++ >/dev/null && command -v make >/dev/null || debian build-essential
  command -v cmake >/dev/null || debian cmake
}

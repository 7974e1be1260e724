#!/usr/bin/env bash
# Installs consulpy from the checkout into a virtual environment and tells the next step.
# Usage: provision.sh NODE ADDRESS [CHECKOUT]
set -euo pipefail

node=${1:?the name of this node is missing}
address=${2:?the address of this node is missing}
checkout=${3:-/srv/consulpy}
home=/opt/consulpy

export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -qy python3-venv python3-pip bind9-dnsutils curl

[[ -x $home/bin/python ]] || python3 -m venv "$home"
"$home/bin/pip" install -q --upgrade "$checkout"
for program in consulpy twistd; do
    ln -sf "$home/bin/$program" "/usr/local/bin/$program"
done

if [[ $node == agent-one ]]; then
    role="--server --bootstrap-expect 1 "
else
    role=""
fi
cat <<END

consulpy is installed on $node. Start its agent:

    vagrant ssh $node
    twistd -n consulpy ${role}--data-dir /tmp/consulpy --node $node --bind $address

The rest of the walkthrough is in README.md.
END

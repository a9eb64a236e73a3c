"""kube-scheduler's rules, held against kube-scheduler itself: the oracle of tests/controlplane answers for it."""

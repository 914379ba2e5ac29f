# The system tests on a virtual machine with cgroup v2 alone: ./dev vm.
EXTRA_DIST += %D%/init %D%/initrd %D%/run

# The system tests with other releases' containerd, runc and crun: ./dev matrix.
EXTRA_DIST += %D%/folder %D%/inside %D%/run

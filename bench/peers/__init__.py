"""What our figures are compared with: each module starts or drives one peer, configured as its own users would."""

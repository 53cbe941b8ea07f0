package gpu

// xid is what a code asks for.
type xid struct {
	// severity is critical where the GPU or its link needs a reset, a drain or a
	// replacement; application where a program most likely did it; warning is the
	// rest.
	severity string
	// action is what to do first, as a label's value.
	action string
}

// The actions that XID codes ask for.
const (
	fixProgram  = "look at the program"
	resetGPU    = "drain and reset the GPU"
	rebootHost  = "drain and reboot the host"
	replaceGPU  = "drain and replace the GPU"
	resetLater  = "reset the GPU when it is idle"
	checkLink   = "check NVLink and its peer"
	checkPower  = "check power and cabling"
	checkDriver = "check driver and firmware versions"
	watchIt     = "watch for repeats"
)

// meaning sorts codes by what NVIDIA's XID catalogue says that they are.
func meaning(code int) xid {
	switch code {
	case 6, 8, 13, 31, 32, 43, 45, 66, 68, 137:
		// Faults of a program's commands or addresses, on this GPU or a peer, and
		// what the driver cleans up after them.
		return xid{"application", fixProgram}
	case 94:
		// An uncorrectable memory error that hit one program alone.
		return xid{"warning", resetLater}
	case 63, 156, 160:
		// A row, page, channel or unit is taken out at the next reset.
		return xid{"warning", resetLater}
	case 92:
		return xid{"warning", resetLater} // many corrected memory errors
	case 48, 95, 140, 171, 172:
		return xid{"critical", resetGPU} // uncorrectable memory errors
	case 64, 157, 161:
		return xid{"critical", replaceGPU} // nothing left to put in place of what failed
	case 46, 61, 62, 69, 109, 119, 120, 136, 158:
		// The GPU or its firmware stopped, or no longer answers.
		return xid{"critical", resetGPU}
	case 79, 110, 142, 143, 167:
		// Off the bus, not to be started, or shut for security.
		return xid{"critical", rebootHost}
	case 54:
		return xid{"critical", checkPower}
	case 74, 144, 145, 146, 147, 148, 149, 150, 155:
		return xid{"critical", checkLink}
	case 38, 81:
		return xid{"warning", checkDriver}
	}
	return xid{"warning", watchIt}
}

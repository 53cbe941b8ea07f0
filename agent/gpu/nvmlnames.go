package gpu

// function is a place for a function and its names, newest first.
type function struct {
	fn      any
	needed  bool
	symbols []string
}

// functions lists what is read of NVML. Those needed are without which no GPU
// can be asked anything.
func (n *nvml) functions() []function {
	need := func(fn any, symbols ...string) function { return function{fn, true, symbols} }
	may := func(fn any, symbols ...string) function { return function{fn, false, symbols} }
	return []function{
		need(&n.init, "nvmlInit_v2", "nvmlInit"),
		need(&n.count, "nvmlDeviceGetCount_v2", "nvmlDeviceGetCount"),
		need(&n.byIndex, "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex"),
		need(&n.pci, "nvmlDeviceGetPciInfo_v3"),
		may(&n.shutdown, "nvmlShutdown"),
		may(&n.driverVersion, "nvmlSystemGetDriverVersion"),
		may(&n.name, "nvmlDeviceGetName"),
		may(&n.uuid, "nvmlDeviceGetUUID"),
		may(&n.serial, "nvmlDeviceGetSerial"),
		may(&n.vbios, "nvmlDeviceGetVbiosVersion"),
		may(&n.utilization, "nvmlDeviceGetUtilizationRates"),
		may(&n.encoder, "nvmlDeviceGetEncoderUtilization"),
		may(&n.decoder, "nvmlDeviceGetDecoderUtilization"),
		may(&n.jpeg, "nvmlDeviceGetJpgUtilization"),
		may(&n.ofa, "nvmlDeviceGetOfaUtilization"),
		may(&n.memory, "nvmlDeviceGetMemoryInfo"),
		may(&n.memory2, "nvmlDeviceGetMemoryInfo_v2"),
		may(&n.bar1, "nvmlDeviceGetBAR1MemoryInfo"),
		may(&n.temperature, "nvmlDeviceGetTemperature"),
		may(&n.threshold, "nvmlDeviceGetTemperatureThreshold"),
		may(&n.margin, "nvmlDeviceGetMarginTemperature"),
		may(&n.power, "nvmlDeviceGetPowerUsage"),
		may(&n.powerLimit, "nvmlDeviceGetEnforcedPowerLimit"),
		may(&n.powerDefault, "nvmlDeviceGetPowerManagementDefaultLimit"),
		may(&n.powerRange, "nvmlDeviceGetPowerManagementLimitConstraints"),
		may(&n.energy, "nvmlDeviceGetTotalEnergyConsumption"),
		may(&n.clock, "nvmlDeviceGetClockInfo"),
		may(&n.clockMax, "nvmlDeviceGetMaxClockInfo"),
		may(&n.fan, "nvmlDeviceGetFanSpeed"),
		may(&n.pstate, "nvmlDeviceGetPerformanceState"),
		may(&n.events, "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"),
		may(&n.eccMode, "nvmlDeviceGetEccMode"),
		may(&n.eccErrors, "nvmlDeviceGetMemoryErrorCounter"),
		may(&n.remapped, "nvmlDeviceGetRemappedRows"),
		may(&n.remapBanks, "nvmlDeviceGetRowRemapperHistogram"),
		may(&n.retired, "nvmlDeviceGetRetiredPages"),
		may(&n.retiredPending, "nvmlDeviceGetRetiredPagesPendingStatus"),
		may(&n.linkState, "nvmlDeviceGetNvLinkState"),
		may(&n.linkErrors, "nvmlDeviceGetNvLinkErrorCounter"),
		may(&n.fields, "nvmlDeviceGetFieldValues"),
		may(&n.pcieThroughput, "nvmlDeviceGetPcieThroughput"),
		may(&n.pcieReplays, "nvmlDeviceGetPcieReplayCounter"),
		may(&n.linkGen, "nvmlDeviceGetCurrPcieLinkGeneration"),
		may(&n.linkGenMax, "nvmlDeviceGetMaxPcieLinkGeneration"),
		may(&n.linkWidth, "nvmlDeviceGetCurrPcieLinkWidth"),
		may(&n.linkWidthMax, "nvmlDeviceGetMaxPcieLinkWidth"),
		may(&n.migMode, "nvmlDeviceGetMigMode"),
		may(&n.migMax, "nvmlDeviceGetMaxMigDeviceCount"),
		may(&n.migByIndex, "nvmlDeviceGetMigDeviceHandleByIndex"),
		may(&n.gpuInstance, "nvmlDeviceGetGpuInstanceId"),
		may(&n.computeInstance, "nvmlDeviceGetComputeInstanceId"),
		may(&n.computes, "nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"),
		may(&n.graphics, "nvmlDeviceGetGraphicsRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v2"),
		may(&n.encoderStats, "nvmlDeviceGetEncoderStats"),
		may(&n.fbcStats, "nvmlDeviceGetFBCStats"),
	}
}

// A small NVML for tests: eight GPUs whose answers follow from their index, in
// the library's own structures. Compiled with
//   LOST=i  GPU i is lost from the start; LOSTFILE="path" loses GPU 2 once it exists
//   HANG=i  a call about GPU i returns only once HANGFILE exists; with HANGEARLY
//           already the one that says which GPU it is
//   OLD     the functions of a driver before 2020 alone
//   BROKEN  without the function that gives handles
//   NODRIVER  nvmlInit fails as without a kernel driver
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef unsigned int u32;
typedef unsigned long long u64;
typedef struct gpu { u32 index; u32 instance; } *dev;
typedef struct { char legacy[16]; u32 domain, bus, device, id, sub; char bus_id[32]; } pci_t;
typedef struct { u64 total, free, used; } mem_t;
typedef struct { u32 version; u64 total, reserved, free, used; } mem2_t;
typedef struct { u32 gpu, memory; } util_t;
typedef union { double d; int si; u32 ui; unsigned long ul; u64 ull; long long sll; unsigned short us; } value_t;
typedef struct { u32 field, scope; long long time, latency; int type; u32 ret; value_t v; } field_t;
typedef struct { u32 pid; u64 used; u32 gi, ci; } process_t;
typedef struct { u32 max, high, partial, low, none; } rows_t;
typedef struct { u32 n, fps, latency; } fbc_t;
typedef struct { u32 version; int margin; } margin_t;

enum { OK = 0, NOT_SUPPORTED = 3, INVALID = 2, NOT_FOUND = 6, SMALL = 7, NO_DRIVER = 9, LOST_GPU = 15, MISMATCH = 25 };

static struct gpu gpus[8], parts[2];
static int started;

#ifdef NODRIVER
u32 nvmlInit_v2(void) { return NO_DRIVER; }
#else
u32 nvmlInit_v2(void) {
  for (u32 i = 0; i < 8; i++) gpus[i].index = i;
  for (u32 i = 0; i < 2; i++) parts[i] = (struct gpu){4, i + 1};
  started = 1;
  return OK;
}
#endif
u32 nvmlShutdown(void) { started = 0; return OK; }
u32 nvmlSystemGetDriverVersion(char *s, u32 n) { snprintf(s, n, "595.71.05"); return OK; }
u32 nvmlDeviceGetCount_v2(u32 *n) { *n = 8; return started ? OK : 1; }

static u32 check(dev d) {
#ifdef LOST
  if (d->index == LOST) return LOST_GPU;
#endif
#ifdef LOSTFILE
  if (d->index == 2 && access(LOSTFILE, F_OK) == 0) return LOST_GPU;
#endif
  return OK;
}
#define CHECK do { u32 r = check(d); if (r) return r; } while (0)

#ifndef BROKEN
u32 nvmlDeviceGetHandleByIndex_v2(u32 i, dev *d) {
  if (i >= 8) return INVALID;
  *d = &gpus[i];
#ifdef LOST
  if (i == LOST) return LOST_GPU;
#endif
  return OK;
}
#endif
static void hang(dev d) {
#ifdef HANG
  if (d->index == HANG) while (access(HANGFILE, F_OK) != 0) usleep(1000);
#endif
}

u32 nvmlDeviceGetPciInfo_v3(dev d, pci_t *p) {
#ifdef HANGEARLY
  hang(d);
#endif
  CHECK;
  memset(p, 0, sizeof *p);
  p->bus = 0x1b + 16 * d->index;
  snprintf(p->bus_id, sizeof p->bus_id, "%08X:%02X:%02X.0", 0, p->bus, 0);
  return OK;
}
u32 nvmlDeviceGetName(dev d, char *s, u32 n) { CHECK; snprintf(s, n, d->instance ? "Test GPU MIG 3g" : "Test GPU"); return OK; }
u32 nvmlDeviceGetUUID(dev d, char *s, u32 n) {
  CHECK;
  snprintf(s, n, d->instance ? "MIG-0000000%u" : "GPU-0000000%u", d->instance ? d->instance : d->index);
  return OK;
}
u32 nvmlDeviceGetSerial(dev d, char *s, u32 n) { CHECK; if (d->index == 1) return NOT_SUPPORTED; snprintf(s, n, "16505220038%02u", d->index); return OK; }
u32 nvmlDeviceGetVbiosVersion(dev d, char *s, u32 n) { CHECK; snprintf(s, n, "96.00.89.00.01"); return OK; }
u32 nvmlDeviceGetUtilizationRates(dev d, util_t *u) { CHECK; if (d->index == 4) return NOT_SUPPORTED; *u = (util_t){10 + d->index, 57}; return OK; }
u32 nvmlDeviceGetMemoryInfo(dev d, mem_t *m) { CHECK; *m = (mem_t){80ull << 30, 60ull << 30, 20ull << 30}; return OK; }
u32 nvmlDeviceGetTemperature(dev d, int sensor, u32 *t) {
  hang(d);
  CHECK;
  if (sensor != 0) return INVALID;
  *t = 40 + d->index;
  return OK;
}
u32 nvmlDeviceGetPowerUsage(dev d, u32 *mw) { CHECK; *mw = 300500 + d->index; return OK; }
u32 nvmlDeviceGetClockInfo(dev d, int type, u32 *mhz) { CHECK; *mhz = type == 2 ? 2619 : 1980; return OK; }
u32 nvmlDeviceGetCurrentClocksThrottleReasons(dev d, u64 *bits) { CHECK; *bits = 0x84; return OK; }
u32 nvmlDeviceGetRetiredPages(dev d, int cause, u32 *n, u64 *addresses) {
  CHECK;
  u32 have = cause == 0 ? 2 : 0, room = *n;
  *n = have;
  return room < have ? SMALL : OK;
}

#ifndef OLD
u32 nvmlDeviceGetMemoryInfo_v2(dev d, mem2_t *m) {
  CHECK;
  if (m->version != (sizeof(mem2_t) | 2u << 24)) return MISMATCH;
  m->total = 80ull << 30; m->reserved = 1ull << 30; m->used = (u64)(10 + d->index) << 30;
  m->free = m->total - m->reserved - m->used;
  return OK;
}
u32 nvmlDeviceGetBAR1MemoryInfo(dev d, mem_t *m) { CHECK; *m = (mem_t){128ull << 30, 127ull << 30, 1ull << 30}; return OK; }
u32 nvmlDeviceGetEncoderUtilization(dev d, u32 *u, u32 *us) { CHECK; *u = 3; *us = 167000; return OK; }
u32 nvmlDeviceGetDecoderUtilization(dev d, u32 *u, u32 *us) { CHECK; *u = 4; *us = 167000; return OK; }
u32 nvmlDeviceGetJpgUtilization(dev d, u32 *u, u32 *us) { return NOT_SUPPORTED; }
u32 nvmlDeviceGetTemperatureThreshold(dev d, int which, u32 *t) { CHECK; if (which > 3) return INVALID; *t = (u32[]){95, 92, 95, 87}[which]; return OK; }
u32 nvmlDeviceGetMarginTemperature(dev d, margin_t *m) { CHECK; if (m->version != (sizeof *m | 1u << 24)) return MISMATCH; m->margin = -3; return OK; }
u32 nvmlDeviceGetEnforcedPowerLimit(dev d, u32 *mw) { CHECK; *mw = 700000; return OK; }
u32 nvmlDeviceGetPowerManagementDefaultLimit(dev d, u32 *mw) { CHECK; *mw = 700000; return OK; }
u32 nvmlDeviceGetPowerManagementLimitConstraints(dev d, u32 *low, u32 *high) { CHECK; *low = 200000; *high = 700000; return OK; }
u32 nvmlDeviceGetTotalEnergyConsumption(dev d, u64 *mj) { CHECK; *mj = 123456789012ull + d->index; return OK; }
u32 nvmlDeviceGetMaxClockInfo(dev d, int type, u32 *mhz) { CHECK; *mhz = type == 2 ? 2619 : 1980; return OK; }
u32 nvmlDeviceGetFanSpeed(dev d, u32 *s) { return NOT_SUPPORTED; }
u32 nvmlDeviceGetPerformanceState(dev d, int *p) { CHECK; *p = d->index == 6 ? 32 : 0; return OK; }
u32 nvmlDeviceGetEccMode(dev d, int *now, int *pending) { CHECK; *now = *pending = 1; return OK; }
u32 nvmlDeviceGetMemoryErrorCounter(dev d, int kind, int counter, int place, u64 *n) {
  CHECK;
  if (place != 2 && place != 7) return NOT_SUPPORTED;
  *n = d->instance ? d->instance : 1000 * kind + 100 * counter + place;
  return OK;
}
u32 nvmlDeviceGetRemappedRows(dev d, u32 *c, u32 *u, u32 *pending, u32 *failure) { CHECK; *c = 5; *u = 1; *pending = d->index == 0; *failure = 0; return OK; }
u32 nvmlDeviceGetRowRemapperHistogram(dev d, rows_t *r) { CHECK; *r = (rows_t){636, 3, 1, 0, 0}; return OK; }
u32 nvmlDeviceGetRetiredPagesPendingStatus(dev d, int *p) { CHECK; *p = 0; return OK; }
u32 nvmlDeviceGetNvLinkState(dev d, u32 link, int *up) { CHECK; if (link >= 4) return INVALID; *up = link != 3; return OK; }
u32 nvmlDeviceGetNvLinkErrorCounter(dev d, u32 link, int kind, u64 *n) { CHECK; if (kind == 3) return NOT_SUPPORTED; *n = 10 * link + kind; return OK; }
u32 nvmlDeviceGetFieldValues(dev d, int n, field_t *f) {
  CHECK;
  for (int i = 0; i < n; i++) {
    f[i].ret = OK;
    switch (f[i].field) {
    case 82: f[i].type = 1; f[i].v.ui = d->index == 7 ? 0x7ffffff0 : 61; break;
    case 74: f[i].type = 3; f[i].v.ull = 1500000000ull; break;
    case 76: f[i].type = 3; f[i].v.ull = 0x7ffffffffffffff2ull; break;
    case 138: f[i].type = 3; f[i].v.ull = 1000 + f[i].scope; break;
    case 139: f[i].type = 3; f[i].v.ull = ~0ull; break;
    case 185: f[i].type = 0; f[i].v.d = 290250.5; break;
    case 186: f[i].type = 1; f[i].v.ui = 310500; break;
    case 194: f[i].type = 5; f[i].v.si = -2; break;
    case 230: f[i].type = 1; f[i].v.ui = d->index == 0 ? 4 : 0; break;
    default: f[i].ret = NOT_SUPPORTED;
    }
  }
  return OK;
}
u32 nvmlDeviceGetPcieThroughput(dev d, int which, u32 *kb) { CHECK; *kb = which == 0 ? 830 : 439; return OK; }
u32 nvmlDeviceGetPcieReplayCounter(dev d, u32 *n) { CHECK; *n = 12; return OK; }
u32 nvmlDeviceGetCurrPcieLinkGeneration(dev d, u32 *g) { CHECK; *g = 5; return OK; }
u32 nvmlDeviceGetMaxPcieLinkGeneration(dev d, u32 *g) { CHECK; *g = 5; return OK; }
u32 nvmlDeviceGetCurrPcieLinkWidth(dev d, u32 *w) { CHECK; *w = d->index == 0 ? 8 : 16; return OK; }
u32 nvmlDeviceGetMaxPcieLinkWidth(dev d, u32 *w) { CHECK; *w = 16; return OK; }
u32 nvmlDeviceGetMigMode(dev d, u32 *now, u32 *pending) { CHECK; *now = *pending = d->index == 4; return OK; }
u32 nvmlDeviceGetMaxMigDeviceCount(dev d, u32 *n) { CHECK; *n = 7; return OK; }
u32 nvmlDeviceGetMigDeviceHandleByIndex(dev d, u32 i, dev *out) { CHECK; if (i != 0 && i != 2) return NOT_FOUND; *out = &parts[i / 2]; return OK; }
u32 nvmlDeviceGetGpuInstanceId(dev d, u32 *id) { *id = d->instance; return OK; }
u32 nvmlDeviceGetComputeInstanceId(dev d, u32 *id) { *id = 0; return OK; }
// More processes than a caller makes room for at first.
u32 nvmlDeviceGetComputeRunningProcesses_v3(dev d, u32 *n, process_t *p) {
  CHECK;
  u32 room = *n;
  *n = d->index == 0 ? 40 : 0;
  if (room < *n) return SMALL;
  for (u32 i = 0; i < *n; i++) p[i] = (process_t){1000000000 + i, i == 0 ? ~0ull : 1ull << 20, ~0u, ~0u};
  return OK;
}
u32 nvmlDeviceGetGraphicsRunningProcesses_v3(dev d, u32 *n, process_t *p) { CHECK; *n = 0; return OK; }
u32 nvmlDeviceGetEncoderStats(dev d, u32 *n, u32 *fps, u32 *latency) { CHECK; *n = 2; *fps = 60; *latency = 1500; return OK; }
u32 nvmlDeviceGetFBCStats(dev d, fbc_t *f) { CHECK; *f = (fbc_t){0, 0, 0}; return OK; }
#endif

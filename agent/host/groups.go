package host

import (
	"os"
	"path/filepath"
	"strings"

	"nines/internal/telemetry"
)

// Bounds of the walk through the control groups.
const (
	groupDepth   = 8
	groupsLooked = 20_000
)

// findGroups returns the containers and top slices below dir in the order of
// their paths, at most limit, and how many there are beyond.
func findGroups(dir string, limit int) (found []group, dropped int) {
	looked := 0
	var walk func(path string, depth int)
	walk = func(path string, depth int) {
		list, err := os.ReadDir(filepath.Join(dir, path))
		if err != nil {
			return
		}
		for _, e := range list {
			if looked++; !e.IsDir() || looked > groupsLooked {
				continue
			}
			sub := filepath.Join(path, e.Name())
			labels, inside := groupLabels(sub)
			switch {
			case labels == nil:
			case len(found) == limit:
				dropped++
			default:
				found = append(found, group{path: sub, labels: telemetry.NewLabels(labels)})
			}
			if inside && depth < groupDepth {
				walk(sub, depth+1)
			}
		}
	}
	walk("", 1)
	return found, dropped
}

// groupLabels returns the labels of a group that is measured, nil for others,
// and whether there may be containers inside of it.
func groupLabels(path string) (labels map[string]string, inside bool) {
	parts := strings.Split(path, "/")
	slice := parts[0]
	if id := containerID(parts[len(parts)-1]); id != "" {
		labels = map[string]string{"container": id, "slice": slice}
		for _, p := range parts {
			put(labels, "pod", podUID(p))
		}
		return labels, false
	}
	if len(parts) == 1 && (strings.HasSuffix(slice, ".slice") || slice == "kubepods" || slice == "docker") {
		labels = map[string]string{"slice": slice}
	}
	return labels, true
}

// containerID finds the 64 hexadecimal digits of docker-<id>.scope,
// cri-containerd-<id>.scope, crio-<id>.scope, libpod-<id>.scope or <id>.
func containerID(name string) string {
	name = strings.TrimSuffix(name, ".scope")
	if len(name) < 64 {
		return ""
	}
	id, before := name[len(name)-64:], name[:len(name)-64]
	if before != "" && !strings.HasSuffix(before, "-") || strings.Contains(before, "conmon") || strings.Trim(id, "0123456789abcdef") != "" {
		return ""
	}
	return id
}

// podUID finds the UID in pod<uid> or kubepods-burstable-pod<uid>.slice, where
// systemd's names have _ for -.
func podUID(name string) string {
	if name = strings.TrimSuffix(name, ".slice"); strings.HasPrefix(name, "kubepods-") {
		name = name[strings.LastIndexByte(name, '-')+1:]
	}
	uid, ok := strings.CutPrefix(name, "pod")
	uid = strings.ReplaceAll(uid, "_", "-")
	if !ok || len(uid) < 32 || strings.Trim(uid, "0123456789abcdef-") != "" {
		return ""
	}
	return uid
}

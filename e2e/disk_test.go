package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// smallDisk mounts a disk of 4 MB.
func smallDisk(t *testing.T) string {
	t.Helper()
	disk := t.TempDir()
	if output, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("no disk can be mounted here: %v %s", err, output)
	}
	t.Cleanup(func() { // before it, the Caddys end that were started later
		if output, err := exec.Command("umount", disk).CombinedOutput(); err != nil {
			t.Errorf("%v %s", err, output)
		}
	})
	return disk
}

// fill fills a disk, and returns what frees it.
func fill(t *testing.T, disk string) (free func()) {
	t.Helper()
	ballast := filepath.Join(disk, "ballast")
	_ = os.WriteFile(ballast, []byte(strings.Repeat("x", 4<<20)), 0o600) // as much as fits
	return func() {
		t.Helper()
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
}

// waitReady waits until the admin API says that hooks are stored, or that they are not.
func (e *edge) waitReady(want int, patience time.Duration) {
	e.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		status, text := e.call(http.MethodGet, "ready", "")
		if status == want {
			return
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("ready still says %d %s, want %d", status, text, want)
		}
	}
}

// TestDiskFull fills the disk under the outbox: hooks get 503, and are accepted when there is room again.
func TestDiskFull(t *testing.T) {
	disk := smallDisk(t)
	m := newMandrill(t)
	e := newEdge(t, m, "outbox sqlite "+disk+"/outbox.db")
	if status := e.post("before@example.net"); status != http.StatusNoContent {
		t.Fatalf("before: %d", status)
	}
	free := fill(t, disk)
	refused := 0
	accepted := []string{"before@example.net"}
	for n := range 200 {
		address := fmt.Sprintf("full%d@%s.example.net", n, strings.Repeat("x", 60))
		switch status := e.post(address); status {
		case http.StatusNoContent:
			accepted = append(accepted, address)
		case http.StatusServiceUnavailable:
			refused++
		default:
			t.Fatalf("answered %d", status)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
	if status, text := e.call(http.MethodGet, "ready", ""); refused > 0 && status != http.StatusServiceUnavailable {
		t.Errorf("ready: %d %s", status, text)
	}
	free()
	e.waitReady(http.StatusOK, 10*time.Second)
	if status := e.post("after@example.net"); status != http.StatusNoContent {
		t.Fatalf("with room again: %d", status)
	}
	again := m.expect(t, append(accepted, "after@example.net"), 2*time.Minute)
	t.Logf("%d refused, %d accepted, %d arrived again", refused, len(accepted), again)
	if again != 0 {
		t.Errorf("%d arrived again", again)
	}
}

// TestDiskFullAtTheStart starts Caddy on a full disk, with an outbox there and without one: Caddy starts,
// hooks get 503, and are accepted when there is room.
func TestDiskFullAtTheStart(t *testing.T) {
	for _, isNew := range []bool{true, false} {
		t.Run(map[bool]string{true: "new", false: "old"}[isNew], func(t *testing.T) {
			disk := smallDisk(t)
			m := newMandrill(t)
			outbox := "outbox sqlite " + disk + "/outbox.db"
			if !isNew {
				e := newEdge(t, m, outbox)
				if status := e.post("before@example.net"); status != http.StatusNoContent {
					t.Fatalf("before: %d", status)
				}
				m.expect(t, []string{"before@example.net"}, time.Minute)
				e.kill()
			}
			free := fill(t, disk)
			e := newEdge(t, m, outbox)
			for n := range 3 {
				address := fmt.Sprintf("full%d@%s.example.net", n, strings.Repeat("x", 60))
				if status := e.post(address); status != http.StatusServiceUnavailable {
					t.Errorf("answered %d", status)
				}
			}
			e.waitReady(http.StatusServiceUnavailable, time.Second)
			free()
			e.waitReady(http.StatusOK, 10*time.Second)
			if status := e.post("after@example.net"); status != http.StatusNoContent {
				t.Fatalf("with room again: %d", status)
			}
			m.expect(t, []string{"after@example.net"}, time.Minute)
		})
	}
}

// TestFileIsDeleted deletes the outbox of a running Caddy, which would lose all that it stores from then on.
func TestFileIsDeleted(t *testing.T) {
	m := newMandrill(t)
	e := newEdge(t, m, "outbox sqlite FOLDER/outbox.db")
	if status := e.post("before@example.net"); status != http.StatusNoContent {
		t.Fatalf("before: %d", status)
	}
	e.waitReady(http.StatusOK, time.Second)
	m.expect(t, []string{"before@example.net"}, time.Minute)
	if err := os.Remove(filepath.Join(e.folder, "outbox.db")); err != nil {
		t.Fatal(err)
	}
	e.waitReady(http.StatusServiceUnavailable, 5*time.Second)
	if status := e.post("deleted@example.net"); status != http.StatusServiceUnavailable {
		t.Errorf("answered %d", status)
	}
	if _, text := e.call(http.MethodGet, "status", ""); !strings.Contains(text, "was deleted or replaced") {
		t.Errorf("status: %s", text)
	}
	e.kill()
	e.start()
	if status := e.post("after@example.net"); status != http.StatusNoContent {
		t.Errorf("after the restart: %d", status)
	}
	m.expect(t, []string{"after@example.net"}, time.Minute)
}

// Command vcenter imports an OVF into VMware's own vCenter simulator over the vSphere API, as its clients do: it asks
// for an import specification, uploads the files that it names, and powers on. What came of it is printed as JSON.
//
//	vcenter FILE.ovf
//
// Builds from Debian's golang-github-vmware-govmomi-dev: GOPATH=/usr/share/gocode GO111MODULE=off go build main.go
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/nfc"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/ovf"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

type disk struct {
	Capacity   int64  `json:"capacity"`
	Controller string `json:"controller"`
	Unit       int32  `json:"unit"`
}

type network struct {
	Type string `json:"type"`
	MAC  string `json:"mac"`
}

type report struct {
	Errors   []string         `json:"errors"`
	Warnings []string         `json:"warnings"`
	Uploaded map[string]int64 `json:"uploaded"`
	CPUs     int32            `json:"cpus"`
	Memory   int32            `json:"memory"`
	Firmware string           `json:"firmware"`
	Guest    string           `json:"guest"`
	Disks    []disk           `json:"disks"`
	Networks []network        `json:"networks"`
	Devices  []string         `json:"devices"`
	Power    string           `json:"power"`
}

func main() {
	if len(os.Args) != 2 {
		fail(fmt.Errorf("usage: vcenter FILE.ovf"))
	}
	model := simulator.VPX()
	must(model.Create())
	defer model.Remove()
	model.Service.TLS = new(tls.Config)
	server := model.Service.NewServer()
	defer server.Close()
	ctx := context.Background()
	client, err := govmomi.NewClient(ctx, server.URL, true)
	must(err)
	result := imported(ctx, client, os.Args[1])
	text, err := json.Marshal(result)
	must(err)
	fmt.Println(string(text))
}

func imported(ctx context.Context, client *govmomi.Client, file string) report {
	result := report{Errors: []string{}, Warnings: []string{}, Uploaded: map[string]int64{}}
	finder := find.NewFinder(client.Client, true)
	center, err := finder.DefaultDatacenter(ctx)
	must(err)
	finder.SetDatacenter(center)
	store, err := finder.DefaultDatastore(ctx)
	must(err)
	host, err := finder.HostSystem(ctx, "DC0_H0")
	must(err)
	pool, err := host.ResourcePool(ctx)
	must(err)
	port, err := finder.Network(ctx, "VM Network")
	must(err)
	folders, err := center.Folders(ctx)
	must(err)

	text, err := os.ReadFile(file)
	must(err)
	opened, err := os.Open(file)
	must(err)
	envelope, err := ovf.Unmarshal(opened)
	must(err)
	params := types.OvfCreateImportSpecParams{
		EntityName:             "imported",
		OvfManagerCommonParams: types.OvfManagerCommonParams{Locale: "US"},
	}
	if envelope.Network != nil {
		for _, each := range envelope.Network.Networks {
			mapping := types.OvfNetworkMapping{Name: each.Name, Network: port.Reference()}
			params.NetworkMapping = append(params.NetworkMapping, mapping)
		}
	}
	spec, err := ovf.NewManager(client.Client).CreateImportSpec(ctx, string(text), pool, store, params)
	must(err)
	for _, each := range spec.Error {
		result.Errors = append(result.Errors, fmt.Sprintf("%T %s", each.Fault, each.LocalizedMessage))
	}
	for _, each := range spec.Warning {
		result.Warnings = append(result.Warnings, fmt.Sprintf("%T %s", each.Fault, each.LocalizedMessage))
	}
	if len(result.Errors) > 0 {
		return result
	}

	lease, err := pool.ImportVApp(ctx, spec.ImportSpec, folders.VmFolder, host)
	must(err)
	info, err := lease.Wait(ctx, spec.FileItem)
	must(err)
	updater := lease.StartUpdater(ctx, info)
	for _, item := range info.Items {
		result.Uploaded[item.Path] = upload(ctx, lease, item, filepath.Join(filepath.Dir(file), item.Path))
	}
	updater.Done()
	must(lease.Complete(ctx))

	machine := object.NewVirtualMachine(client.Client, info.Entity)
	task, err := machine.PowerOn(ctx)
	must(err)
	must(task.Wait(ctx))
	state, err := machine.PowerState(ctx)
	must(err)
	result.Power = string(state)
	describe(ctx, machine, &result)
	return result
}

func upload(ctx context.Context, lease *nfc.Lease, item nfc.FileItem, path string) int64 {
	file, err := os.Open(path)
	must(err)
	defer file.Close()
	stat, err := file.Stat()
	must(err)
	must(lease.Upload(ctx, item, file, soap.Upload{ContentLength: stat.Size()}))
	return stat.Size()
}

func describe(ctx context.Context, machine *object.VirtualMachine, result *report) {
	var properties mo.VirtualMachine
	must(machine.Properties(ctx, machine.Reference(), []string{"config"}, &properties))
	config := properties.Config
	result.CPUs = config.Hardware.NumCPU
	result.Memory = config.Hardware.MemoryMB
	result.Firmware = config.Firmware
	result.Guest = config.GuestId
	devices := object.VirtualDeviceList(config.Hardware.Device)
	for _, each := range devices {
		result.Devices = append(result.Devices, devices.Name(each))
		switch device := each.(type) {
		case *types.VirtualDisk:
			capacity := device.CapacityInBytes
			if capacity == 0 {
				capacity = device.CapacityInKB * 1024
			}
			controller := ""
			if owner := devices.FindByKey(device.ControllerKey); owner != nil {
				controller = devices.Type(owner)
			}
			unit := int32(-1)
			if device.UnitNumber != nil {
				unit = *device.UnitNumber
			}
			result.Disks = append(result.Disks, disk{Capacity: capacity, Controller: controller, Unit: unit})
		case types.BaseVirtualEthernetCard:
			card := device.GetVirtualEthernetCard()
			result.Networks = append(result.Networks, network{Type: strings.TrimPrefix(fmt.Sprintf("%T", each), "*types.Virtual"), MAC: card.MacAddress})
		}
	}
}

func must(err error) {
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
